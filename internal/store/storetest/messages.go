package storetest

import (
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var messageTests = []testCase{
	{name: "edit", run: editMessage},
	{name: "who may edit", run: mayEdit},
	{name: "delete", run: deleteMessage},
	{name: "who may delete", run: mayDelete},
	{name: "pages of history", run: pages},
}

func editMessage(f *fixture) {
	a, b := f.user(), f.user()
	c := f.group(a, b)
	want := f.sendN(c, a, 3)
	e := must[store.Edited](f)(f.s.EditMessage(f.ctx(), c, 2, a, "better"))
	f.recent("EditedAt", e.Message.EditedAt)
	want[1].Body, want[1].Rev, want[1].EditedAt, want[1].TextCheck = "better", 5, e.Message.EditedAt, e.Message.TextCheck
	f.equal("edited", e, store.Edited{
		Message: want[1], Changed: true, Audience: chat.Audience{Conversation: c, MembersRev: 1, Members: sorted(a, b)},
	})
	again := must[store.Edited](f)(f.s.EditMessage(f.ctx(), c, 2, a, "better"))
	f.equal("again", again, store.Edited{Message: want[1], Audience: e.Audience})
	for range 2 {
		f.equal("history", f.history(c, b), want)
		s := f.summary(c, b)
		f.equal("head", []int64{s.Seq, s.Rev, s.MembersRev}, []int64{3, 5, 1})
		f.equal("an edit is no activity", s.ActiveAt, want[2].At)
		f.reopen()
	}
	e = must[store.Edited](f)(f.s.EditMessage(f.ctx(), c, 2, a, "best"))
	f.equal("rev", e.Message.Rev, int64(6))
	f.equal("the next message", f.send(c, b, "next").Rev, int64(7))
}

func mayEdit(f *fixture) {
	owner, a, outsider := f.user(), f.user(), f.user()
	c := f.group(owner, a)
	f.sendN(c, a, 2)
	must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), c, 2, a))
	for _, t := range []struct {
		name string
		seq  int64
		by   chat.UserID
		body string
		code chat.Code
	}{
		{"another's", 1, owner, "x", chat.CodeForbidden},
		{"a outsider", 1, outsider, "x", chat.CodeNotFound},
		{"a tombstone", 2, a, "x", chat.CodeConflict},
		{"none", 3, a, "x", chat.CodeNotFound},
		{"seq 0", 0, a, "x", chat.CodeNotFound},
		{"below", -1, a, "x", chat.CodeNotFound},
		{"far above", 1 << 40, a, "x", chat.CodeNotFound},
		{"aliased", 1<<32 + 1, a, "x", chat.CodeNotFound},
		{"blank", 1, a, " ", chat.CodeInvalid},
		{"too large", 1, a, strings.Repeat("x", chat.MaxBody+1), chat.CodeTooLarge},
	} {
		if _, err := f.s.EditMessage(f.ctx(), c, t.seq, t.by, t.body); chat.CodeOf(err) != t.code {
			f.Errorf("%s: got %v, want %s", t.name, err, t.code)
		}
	}
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, owner, a))
	f.refused(second(f.s.EditMessage(f.ctx(), c, 1, a, "x")), chat.CodeNotFound)
	f.refused(second(f.s.DeleteMessage(f.ctx(), c, 1, a)), chat.CodeNotFound)
	f.equal("rev", f.summary(c, owner).Rev, int64(5))
}

func deleteMessage(f *fixture) {
	a, b := f.user(), f.user()
	c := f.group(a, b)
	want := f.sendN(c, b, 3)
	must[store.Edited](f)(f.s.EditMessage(f.ctx(), c, 3, b, "edited"))
	d := must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), c, 3, b))
	f.recent("DeletedAt", d.Message.DeletedAt)
	want[2].Body, want[2].Rev, want[2].TextCheck = "", 6, d.Message.TextCheck
	want[2].DeletedAt, want[2].EditedAt = d.Message.DeletedAt, d.Message.EditedAt
	f.equal("deleted", d, store.Edited{
		Message: want[2], Changed: true, Audience: chat.Audience{Conversation: c, MembersRev: 1, Members: sorted(a, b)},
	})
	again := must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), c, 3, b))
	f.equal("again", again, store.Edited{Message: want[2], Audience: d.Audience})
	for range 2 {
		f.equal("history", f.history(c, a), want)
		s := f.summary(c, a)
		f.equal("the last message is a tombstone", *s.Last, want[2])
		f.equal("unread", s.Unread, int64(3))
		f.reopen()
	}
	// Its seq is not used again, and it can be replied to.
	r := submission(c, a, "answer")
	r.ReplyTo = 3
	f.equal("seq", f.append(r)[0].Message.Seq, int64(4))
}

func mayDelete(f *fixture) {
	users := f.users(4)
	owner, admin, a, b := users[0], users[1], users[2], users[3]
	c := f.group(owner, users[1:]...)
	must[store.Change](f)(f.s.SetRole(f.ctx(), c, owner, admin, chat.Admin))
	f.sendN(c, a, 3)
	f.send(c, owner, "of the owner")
	f.refused(second(f.s.DeleteMessage(f.ctx(), c, 1, b)), chat.CodeForbidden)
	f.refused(second(f.s.DeleteMessage(f.ctx(), c, 4, a)), chat.CodeForbidden)
	f.refused(second(f.s.DeleteMessage(f.ctx(), c, 5, owner)), chat.CodeNotFound)
	for seq, by := range map[int64]chat.UserID{1: a, 2: admin, 3: owner, 4: admin} {
		must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), c, seq, by))
	}
	for _, m := range f.history(c, b) {
		if !m.Deleted() || m.Body != "" {
			f.Errorf("message %d is %+v", m.Seq, m)
		}
	}
	// In a direct conversation nobody manages.
	d := f.direct(a, b)
	f.send(d, a, "x")
	f.refused(second(f.s.DeleteMessage(f.ctx(), d, 1, b)), chat.CodeForbidden)
	must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), d, 1, a))
}

func pages(f *fixture) {
	a := f.user()
	before, c, after := f.group(a), f.group(a), f.group(a)
	for _, id := range []chat.ConversationID{before, c, after} {
		f.sendN(id, a, 10)
	}
	for _, t := range []struct {
		from, to    int64
		backward    bool
		limit       int
		first, last int64 // 0 for none
	}{
		{1, 10, false, 100, 1, 10},
		{1, 10, false, 3, 1, 3},
		{1, 10, true, 3, 8, 10},
		{4, 6, false, 100, 4, 6},
		{4, 6, true, 2, 5, 6},
		{4, 6, false, 1, 4, 4},
		{-5, 1 << 40, false, 100, 1, 10},
		{-5, 1 << 40, true, 4, 7, 10},
		{0, 0, false, 10, 0, 0},
		{11, 20, false, 10, 0, 0},
		{11, 20, true, 10, 0, 0},
		{7, 3, false, 10, 0, 0},
		{1, 10, false, 0, 0, 0},
		{10, 10, true, 1, 10, 10},
	} {
		h := must[store.HistoryPage](f)(f.s.History(f.ctx(), c, a, t.from, t.to, t.backward, t.limit))
		f.equal("head", h.Head, chat.Head{Seq: 10, Rev: f.summary(c, a).Rev})
		page := h.Messages
		n := int(t.last - t.first + 1)
		if t.first == 0 {
			n = 0
		}
		if len(page) != n {
			f.Errorf("%+v: %d messages, want %d", t, len(page), n)
			continue
		}
		for i, m := range page {
			if m.Seq != t.first+int64(i) || m.Conversation != c {
				f.Errorf("%+v: place %d has seq %d of %d", t, i, m.Seq, m.Conversation)
			}
		}
	}
}

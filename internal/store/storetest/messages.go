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

func editMessage(w *world) {
	a, b := w.user(), w.user()
	c := w.group(a, b)
	want := w.sendN(c, a, 3)
	e := must[store.Edited](w)(w.s.EditMessage(w.ctx(), c, 2, a, "better"))
	w.recent("EditedAt", e.Message.EditedAt)
	want[1].Body, want[1].Rev, want[1].EditedAt = "better", 5, e.Message.EditedAt
	w.same("edited", e, store.Edited{
		Message: want[1], Changed: true, Audience: chat.Audience{Conversation: c, MembersRev: 1, Members: sorted(a, b)},
	})
	again := must[store.Edited](w)(w.s.EditMessage(w.ctx(), c, 2, a, "better"))
	w.same("again", again, store.Edited{Message: want[1], Audience: e.Audience})
	for range 2 {
		w.same("history", w.history(c, b), want)
		s := w.summary(c, b)
		w.same("head", []int64{s.Seq, s.Rev, s.MembersRev}, []int64{3, 5, 1})
		w.same("an edit is no activity", s.ActiveAt, want[2].At)
		w.reopen()
	}
	e = must[store.Edited](w)(w.s.EditMessage(w.ctx(), c, 2, a, "best"))
	w.same("rev", e.Message.Rev, int64(6))
	w.same("the next message", w.send(c, b, "next").Rev, int64(7))
}

func mayEdit(w *world) {
	owner, a, stranger := w.user(), w.user(), w.user()
	c := w.group(owner, a)
	w.sendN(c, a, 2)
	must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), c, 2, a))
	for _, t := range []struct {
		name string
		seq  int64
		by   chat.UserID
		body string
		code chat.Code
	}{
		{"another's", 1, owner, "x", chat.CodeForbidden},
		{"a stranger", 1, stranger, "x", chat.CodeNotFound},
		{"a tombstone", 2, a, "x", chat.CodeConflict},
		{"none", 3, a, "x", chat.CodeNotFound},
		{"seq 0", 0, a, "x", chat.CodeNotFound},
		{"below", -1, a, "x", chat.CodeNotFound},
		{"far above", 1 << 40, a, "x", chat.CodeNotFound},
		{"aliased", 1<<32 + 1, a, "x", chat.CodeNotFound},
		{"blank", 1, a, " ", chat.CodeInvalid},
		{"too large", 1, a, strings.Repeat("x", chat.MaxBody+1), chat.CodeTooLarge},
	} {
		if _, err := w.s.EditMessage(w.ctx(), c, t.seq, t.by, t.body); chat.CodeOf(err) != t.code {
			w.Errorf("%s: got %v, want %s", t.name, err, t.code)
		}
	}
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, owner, a))
	w.refused(second(w.s.EditMessage(w.ctx(), c, 1, a, "x")), chat.CodeNotFound)
	w.refused(second(w.s.DeleteMessage(w.ctx(), c, 1, a)), chat.CodeNotFound)
	w.same("rev", w.summary(c, owner).Rev, int64(5))
}

func deleteMessage(w *world) {
	a, b := w.user(), w.user()
	c := w.group(a, b)
	want := w.sendN(c, b, 3)
	must[store.Edited](w)(w.s.EditMessage(w.ctx(), c, 3, b, "edited"))
	d := must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), c, 3, b))
	w.recent("DeletedAt", d.Message.DeletedAt)
	want[2].Body, want[2].Rev, want[2].DeletedAt, want[2].EditedAt = "", 6, d.Message.DeletedAt, d.Message.EditedAt
	w.same("deleted", d, store.Edited{
		Message: want[2], Changed: true, Audience: chat.Audience{Conversation: c, MembersRev: 1, Members: sorted(a, b)},
	})
	again := must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), c, 3, b))
	w.same("again", again, store.Edited{Message: want[2], Audience: d.Audience})
	for range 2 {
		w.same("history", w.history(c, a), want)
		s := w.summary(c, a)
		w.same("the last message is a tombstone", *s.Last, want[2])
		w.same("unread", s.Unread, int64(3))
		w.reopen()
	}
	// Its place is not given again, and it can be answered.
	r := submission(c, a, "answer")
	r.ReplyTo = 3
	w.same("seq", w.append(r)[0].Message.Seq, int64(4))
}

func mayDelete(w *world) {
	people := w.users(4)
	owner, admin, a, b := people[0], people[1], people[2], people[3]
	c := w.group(owner, people[1:]...)
	must[store.Change](w)(w.s.SetRole(w.ctx(), c, owner, admin, chat.Admin))
	w.sendN(c, a, 3)
	w.send(c, owner, "of the owner")
	w.refused(second(w.s.DeleteMessage(w.ctx(), c, 1, b)), chat.CodeForbidden)
	w.refused(second(w.s.DeleteMessage(w.ctx(), c, 4, a)), chat.CodeForbidden)
	w.refused(second(w.s.DeleteMessage(w.ctx(), c, 5, owner)), chat.CodeNotFound)
	for seq, by := range map[int64]chat.UserID{1: a, 2: admin, 3: owner, 4: admin} {
		must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), c, seq, by))
	}
	for _, m := range w.history(c, b) {
		if !m.Deleted() || m.Body != "" {
			w.Errorf("message %d is %+v", m.Seq, m)
		}
	}
	// In a direct conversation nobody manages.
	d := w.direct(a, b)
	w.send(d, a, "x")
	w.refused(second(w.s.DeleteMessage(w.ctx(), d, 1, b)), chat.CodeForbidden)
	must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), d, 1, a))
}

func pages(w *world) {
	a := w.user()
	before, c, after := w.group(a), w.group(a), w.group(a)
	for _, id := range []chat.ConversationID{before, c, after} {
		w.sendN(id, a, 10)
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
		page := must[[]chat.Message](w)(w.s.History(w.ctx(), c, a, t.from, t.to, t.backward, t.limit))
		n := int(t.last - t.first + 1)
		if t.first == 0 {
			n = 0
		}
		if len(page) != n {
			w.Errorf("%+v: %d messages, want %d", t, len(page), n)
			continue
		}
		for i, m := range page {
			if m.Seq != t.first+int64(i) || m.Conversation != c {
				w.Errorf("%+v: place %d has seq %d of %d", t, i, m.Seq, m.Conversation)
			}
		}
	}
}

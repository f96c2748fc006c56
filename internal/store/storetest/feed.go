package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var feedTests = []testCase{
	{name: "everything from the empty position", run: changedFromNothing},
	{name: "what counts as a change", run: whatChanges},
	{name: "conversations that are gone", run: changedGone},
	{name: "paging while things go on", run: changedPaging},
	{name: "a position outlives the process", run: positionKept},
	{name: "foreign positions", run: foreignPositions},
	{name: "changes by rev", run: changesByRev},
	{name: "heads", run: heads},
	{name: "recent", run: recentList},
	{name: "unread", run: unread},
}

// device is what a device holds: it follows Changed.
type device struct {
	user  chat.UserID
	at    store.Position
	known map[chat.ConversationID]chat.Summary
}

func newDevice(u chat.UserID) *device {
	return &device{user: u, known: map[chat.ConversationID]chat.Summary{}}
}

// sync catches up in pages and tells what came, in order.
func (d *device) sync(w *world, limit int) (changed, gone []chat.ConversationID) {
	w.Helper()
	for range 1000 {
		page, left, next, more, err := w.s.Changed(w.ctx(), d.user, d.at, limit)
		w.nothing(err)
		if len(page)+len(left) > limit {
			w.Fatalf("a page of %d and %d, limit %d", len(page), len(left), limit)
		}
		for _, s := range page {
			d.known[s.ID] = s
			changed = append(changed, s.ID)
		}
		for _, id := range left {
			delete(d.known, id)
			gone = append(gone, id)
		}
		d.at = next
		if !more {
			return changed, gone
		}
	}
	w.Fatal("the device never caught up")
	return nil, nil
}

func changedFromNothing(w *world) {
	u, other := w.user(), w.user()
	d := newDevice(u)
	changed, gone := d.sync(w, 10)
	w.same("nothing yet", len(changed)+len(gone), 0)
	a, b, c := w.group(u, other), w.direct(u, other), w.channel(other, u)
	w.group(other) // not mine
	left := w.group(u, other)
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), left, u, u))
	w.send(a, other, "hello")
	for _, limit := range []int{1, 2, 100} {
		fresh := newDevice(u)
		changed, _ := fresh.sync(w, limit)
		w.same("oldest change first", changed, []chat.ConversationID{b, c, a})
		for id, s := range fresh.known {
			w.same("summary", s, w.summary(id, u))
		}
	}
	page, gone, _, _, err := w.s.Changed(w.ctx(), u, "", 100)
	w.nothing(err)
	w.same("page", len(page), 3)
	w.same("what was never known is not gone", gone, []chat.ConversationID(nil))
}

func whatChanges(w *world) {
	u, other := w.user(), w.user()
	c, quiet := w.group(u, other), w.group(u, other)
	w.send(c, other, "the first")
	d := newDevice(u)
	d.sync(w, 100)
	title := "renamed"
	for name, do := range map[string]func() error{
		"a message":   func() error { w.send(c, other, "x"); return nil },
		"my message":  func() error { w.send(c, u, "x"); return nil },
		"an edit":     func() error { return second(w.s.EditMessage(w.ctx(), c, w.send(c, other, "y").Seq, other, "z")) },
		"a deletion":  func() error { return second(w.s.DeleteMessage(w.ctx(), c, w.send(c, other, "y").Seq, other)) },
		"a name":      func() error { return second(w.s.UpdateConversation(w.ctx(), c, u, &title, nil)) },
		"a newcomer":  func() error { return second(w.s.AddMembers(w.ctx(), c, u, []chat.UserID{w.user()})) },
		"a role":      func() error { return second(w.s.SetRole(w.ctx(), c, u, other, chat.Admin)) },
		"my own mark": func() error { w.send(c, other, "x"); d.sync(w, 9); return third(w.s.Mark(w.ctx(), c, u, 1<<20, 0)) },
		"a removal": func() error {
			x := w.user()
			return joinErr(second(w.s.AddMembers(w.ctx(), c, u, []chat.UserID{x})), second(w.s.RemoveMember(w.ctx(), c, u, x)))
		},
	} {
		w.nothing(do())
		changed, gone := d.sync(w, 1)
		if !slices.Equal(changed, []chat.ConversationID{c}) || len(gone) > 0 {
			w.Errorf("%s: changed %v, gone %v", name, changed, gone)
		}
		w.same(name, d.known[c], w.summary(c, u))
		changed, gone = d.sync(w, 1)
		if len(changed)+len(gone) > 0 {
			w.Errorf("%s: once more %v, %v", name, changed, gone)
		}
	}
	// Not a change for me: another's mark, and what was refused or the same.
	w.mark(c, other, 1, 1)
	w.nothing(second(w.s.UpdateConversation(w.ctx(), c, u, &title, nil)))
	w.refused(second(w.s.EditMessage(w.ctx(), c, 1, u, "x")), chat.CodeForbidden)
	changed, gone := d.sync(w, 9)
	w.same("nothing", len(changed)+len(gone), 0)
	w.same("still there", d.known[quiet], w.summary(quiet, u))
}

func joinErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func changedGone(w *world) {
	u, other := w.user(), w.user()
	c, stay := w.channel(other, u), w.group(other, u)
	phone, tablet := newDevice(u), newDevice(u)
	phone.sync(w, 9)
	tablet.sync(w, 9)
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, other, u))
	_, gone := phone.sync(w, 9)
	w.same("gone", gone, []chat.ConversationID{c})
	// What happens there later is none of my business.
	w.send(c, other, "secret")
	changed, gone := phone.sync(w, 9)
	w.same("nothing more", len(changed)+len(gone), 0)
	must[store.Change](w)(w.s.Join(w.ctx(), c, u))
	changed, gone = phone.sync(w, 9)
	w.same("back", changed, []chat.ConversationID{c})
	w.same("not gone", len(gone), 0)
	// The other device has slept through it all.
	changed, gone = tablet.sync(w, 1)
	w.same("only the end counts", changed, []chat.ConversationID{c})
	w.same("not gone", len(gone), 0)
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, u, u))
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), stay, u, u))
	for _, d := range []*device{phone, tablet} {
		_, gone := d.sync(w, 1)
		w.same("both gone", gone, []chat.ConversationID{c, stay})
		w.same("nothing is left", len(d.known), 0)
	}
}

func changedPaging(w *world) {
	u := w.user()
	cs := make([]chat.ConversationID, 8)
	for i := range cs {
		cs[i] = w.group(u)
	}
	d := newDevice(u)
	for i := range 40 {
		page, _, next, _, err := w.s.Changed(w.ctx(), u, d.at, 1)
		w.nothing(err)
		for _, s := range page {
			d.known[s.ID] = s
		}
		d.at = next
		if i%2 == 0 {
			w.send(cs[(i*5)%8], u, "on it goes")
		}
	}
	d.sync(w, 1)
	w.same("conversations", len(d.known), 8)
	for id, s := range d.known {
		w.same("summary", s, w.summary(id, u))
	}
}

func positionKept(w *world) {
	u := w.user()
	a, b := w.group(u), w.group(u)
	d := newDevice(u)
	d.sync(w, 9)
	for range 3 {
		w.reopen()
		changed, gone := d.sync(w, 9)
		w.same("nothing", len(changed)+len(gone), 0)
		w.send(b, u, "x")
		w.reopen()
		changed, _ = d.sync(w, 1)
		w.same("changed", changed, []chat.ConversationID{b})
	}
	w.same("both known", []bool{d.known[a].ID == a, d.known[b].ID == b}, []bool{true, true})
}

func foreignPositions(w *world) {
	u := w.user()
	w.group(u)
	d := newDevice(u)
	d.sync(w, 9)
	for _, p := range []store.Position{"x", "0", "-1", d.at + "!", " " + d.at, "zz.12", d.at[1:]} {
		_, _, _, _, err := w.s.Changed(w.ctx(), u, p, 9)
		if chat.CodeOf(err) != chat.CodeInvalid {
			w.Errorf("position %q: %v", p, err)
		}
	}
}

func changesByRev(w *world) {
	a, b := w.user(), w.user()
	c := w.group(a, b)
	title := func(i int) *string { s := fmt.Sprintf("title %d", i); return &s }
	for i := range 12 { // messages and other changes, mixed
		w.sendN(c, a, 1+i%3)
		if i%2 == 0 {
			must[store.Change](w)(w.s.UpdateConversation(w.ctx(), c, a, title(i), nil))
		}
		if i%3 == 0 {
			must[store.Edited](w)(w.s.EditMessage(w.ctx(), c, int64(1+i), a, fmt.Sprintf("edit %d", i)))
		}
		if i%4 == 0 {
			must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), c, int64(1+i/2), a))
		}
		w.mark(c, b, int64(i), int64(i)) // takes no rev
	}
	all := w.history(c, b)
	slices.SortFunc(all, func(x, y chat.Message) int { return int(x.Rev - y.Rev) })
	head := w.summary(c, b).Rev
	for rev := int64(-1); rev <= head+1; rev++ {
		want := all[slices.IndexFunc(append(all, chat.Message{Rev: 1 << 60}), func(m chat.Message) bool { return m.Rev > rev }):]
		w.same(fmt.Sprintf("after rev %d", rev), must[[]chat.Message](w)(w.s.Changes(w.ctx(), c, b, rev, 1000)), want)
		three := must[[]chat.Message](w)(w.s.Changes(w.ctx(), c, b, rev, 3))
		w.same(fmt.Sprintf("three after rev %d", rev), three, want[:min(3, len(want))])
	}
	var paged []chat.Message
	for rev := int64(0); ; {
		page := must[[]chat.Message](w)(w.s.Changes(w.ctx(), c, b, rev, 1))
		if len(page) == 0 {
			break
		}
		paged, rev = append(paged, page...), page[0].Rev
	}
	w.same("paged", paged, all)
	empty := w.group(a)
	w.same("an empty one", len(must[[]chat.Message](w)(w.s.Changes(w.ctx(), empty, a, 0, 10))), 0)
}

func heads(w *world) {
	u, other, lonely := w.user(), w.user(), w.user()
	a, b := w.group(u, other), w.direct(u, other)
	left := w.group(u, other)
	w.sendN(a, other, 5)
	w.sendN(b, u, 2)
	w.mark(a, u, 3, 4)
	w.mark(b, other, 1, 1)
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), left, other, other))
	got := must[map[chat.UserID]store.Head](w)(w.s.Heads(w.ctx(), []chat.UserID{u, other, lonely}))
	want := map[chat.UserID]store.Head{}
	for _, who := range []chat.UserID{u, other, lonely} {
		var h store.Head
		for _, s := range must[[]chat.Summary](w)(w.s.Recent(w.ctx(), who, time.Time{}, 0, 100)) {
			h.Conversations++
			h.Sum += s.Rev + s.Read
		}
		want[who] = h
	}
	w.same("heads", got, want)
	w.same("counted by hand", got[u], store.Head{Conversations: 3, Sum: (6 + 3) + 3 + 2})
	w.same("of nobody", len(must[map[chat.UserID]store.Head](w)(w.s.Heads(w.ctx(), nil))), 0)
}

func recentList(w *world) {
	u, other := w.user(), w.user()
	var cs []chat.ConversationID
	for range 6 {
		cs = append(cs, w.group(u, other))
	}
	w.send(cs[2], other, "x")
	later() // activity is kept to the millisecond
	w.send(cs[4], other, "x")
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), cs[1], u, u))
	want := must[[]chat.Summary](w)(w.s.Recent(w.ctx(), u, time.Time{}, 0, 100))
	w.same("how many", len(want), 5)
	w.same("the latest", want[0].ID, cs[4])
	for i, s := range want {
		w.same("summary", s, w.summary(s.ID, u))
		if i > 0 {
			p := want[i-1]
			if s.ActiveAt.After(p.ActiveAt) || (s.ActiveAt.Equal(p.ActiveAt) && s.ID > p.ID) {
				w.Errorf("conversation %d comes after %d", s.ID, p.ID)
			}
		}
	}
	var got []chat.Summary
	for at, id := (time.Time{}), chat.ConversationID(0); ; {
		page := must[[]chat.Summary](w)(w.s.Recent(w.ctx(), u, at, id, 1))
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		at, id = page[0].ActiveAt, page[0].ID
	}
	w.same("paged", got, want)
}

func unread(w *world) {
	u, other := w.user(), w.user()
	c := w.group(u, other)
	check := func(what string, want int64) {
		w.Helper()
		w.same(what, w.summary(c, u).Unread, want)
		page := must[[]chat.Summary](w)(w.s.Recent(w.ctx(), u, time.Time{}, 0, 1))
		w.same(what+", in the list", page[0].Unread, want)
	}
	check("nothing", 0)
	w.sendN(c, other, 5)
	check("all", 5)
	w.mark(c, u, 2, 0)
	check("after the mark", 3)
	w.send(c, u, "I answer")
	check("my own message reads what is before it", 0)
	w.sendN(c, other, 4)
	check("after my own message", 4)
	must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), c, 10, other))
	check("tombstones count", 4)
	must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), c, 6, u))
	check("my own tombstone counts as mine", 4)
	w.sendN(c, other, 94)
	check("my own message is 98 back", 98)
	w.sendN(c, other, 50)
	check("it is out of sight, so the mark decides", 152)
	w.mark(c, u, 150, 0)
	check("marked", 4)
}

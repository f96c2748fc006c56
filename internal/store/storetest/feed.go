package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var feedTests = []testCase{
	{name: "everything from the empty position", run: changedFromNothing},
	{name: "what counts as a change", run: whatChanges},
	{name: "conversations that are gone", run: changedGone},
	{name: "paging while things go on", run: changedPaging},
	{name: "what happens during a first round", run: changedDuringFirstRound},
	{name: "continuing within a page", run: changedWithin},
	{name: "a position outlives the process", run: positionKept},
	{name: "foreign positions", run: foreignPositions},
	{name: "changes by rev", run: changesByRev},
	{name: "has changed", run: hasChanged},
	{name: "marks of others", run: marksOfOthers},
	{name: "marks of others while others change", run: marksMeanwhile},
	{name: "left after an empty list", run: leftAfterAnEmptyList},
	{name: "recent", run: recentList},
	{name: "unread", run: unread},
}

// device is the state of a device that follows Changed.
type device struct {
	user  chat.UserID
	at    store.Position
	known map[chat.ConversationID]chat.Summary
}

func newDevice(u chat.UserID) *device {
	return &device{user: u, known: map[chat.ConversationID]chat.Summary{}}
}

// apply takes a page, or the beginning of one.
func (d *device) apply(page []store.ChangedConversation, next store.Position) {
	for i := range page {
		if page[i].Gone {
			delete(d.known, page[i].ID)
		} else {
			d.known[page[i].ID] = page[i].Summary
		}
	}
	d.at = next
}

// sync catches up page by page and returns what was listed, in order.
func (d *device) sync(f *fixture, limit int) (changed, gone []chat.ConversationID) {
	f.Helper()
	for range 1000 {
		page, next, more, err := f.s.Changed(f.ctx(), d.user, d.at, limit)
		f.noError(err)
		if len(page) > limit {
			f.Fatalf("a page of %d, limit %d", len(page), limit)
		}
		d.apply(page, next)
		for i := range page {
			if page[i].Gone {
				gone = append(gone, page[i].ID)
			} else {
				changed = append(changed, page[i].ID)
			}
		}
		if !more {
			return changed, gone
		}
	}
	f.Fatal("the device never caught up")
	return nil, nil
}

func changedFromNothing(f *fixture) {
	u, other := f.user(), f.user()
	d := newDevice(u)
	changed, gone := d.sync(f, 10)
	f.equal("nothing yet", len(changed)+len(gone), 0)
	a, b, c := f.group(u, other), f.direct(u, other), f.channel(other, u)
	f.group(other) // not mine
	left := f.group(u, other)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), left, u, u))
	f.send(a, other, "hello")
	for _, limit := range []int{1, 2, 100} {
		fresh := newDevice(u)
		changed, _ := fresh.sync(f, limit)
		f.equal("all, once", sorted(changed...), sorted(a, b, c))
		for id, s := range fresh.known {
			f.equal("summary", s, f.summary(id, u))
		}
	}
	changed, gone = newDevice(u).sync(f, 100)
	f.equal("page", len(changed), 3)
	f.equal("what was never known is not gone", gone, []chat.ConversationID(nil))
}

func whatChanges(f *fixture) {
	u, other := f.user(), f.user()
	c, quiet := f.group(u, other), f.group(u, other)
	f.send(c, other, "the first")
	d := newDevice(u)
	d.sync(f, 100)
	title := "renamed"
	for name, do := range map[string]func() error{
		"a message":   func() error { f.send(c, other, "x"); return nil },
		"my message":  func() error { f.send(c, u, "x"); return nil },
		"an edit":     func() error { return second(f.s.EditMessage(f.ctx(), c, f.send(c, other, "y").Seq, other, "z")) },
		"a deletion":  func() error { return second(f.s.DeleteMessage(f.ctx(), c, f.send(c, other, "y").Seq, other)) },
		"a name":      func() error { return second(f.s.UpdateConversation(f.ctx(), c, u, &title, nil)) },
		"a newcomer":  func() error { return second(f.s.AddMembers(f.ctx(), c, u, []chat.UserID{f.user()})) },
		"a role":      func() error { return second(f.s.SetRole(f.ctx(), c, u, other, chat.Admin)) },
		"my own mark": func() error { f.send(c, other, "x"); d.sync(f, 9); return third(f.s.Mark(f.ctx(), c, u, 1<<20, 0)) },
		"a removal": func() error {
			x := f.user()
			return firstError(second(f.s.AddMembers(f.ctx(), c, u, []chat.UserID{x})), second(f.s.RemoveMember(f.ctx(), c, u, x)))
		},
	} {
		f.noError(do())
		changed, gone := d.sync(f, 1)
		if !slices.Equal(changed, []chat.ConversationID{c}) || len(gone) > 0 {
			f.Errorf("%s: changed %v, gone %v", name, changed, gone)
		}
		f.equal(name, d.known[c], f.summary(c, u))
		changed, gone = d.sync(f, 1)
		if len(changed)+len(gone) > 0 {
			f.Errorf("%s: once more %v, %v", name, changed, gone)
		}
	}
	// Not a change: what was refused or the same.
	f.mark(c, other, 1, 1)
	d.sync(f, 9)
	f.mark(c, other, 1, 1)
	f.noError(second(f.s.UpdateConversation(f.ctx(), c, u, &title, nil)))
	f.refused(second(f.s.EditMessage(f.ctx(), c, 1, u, "x")), chat.CodeForbidden)
	changed, gone := d.sync(f, 9)
	f.equal("nothing", len(changed)+len(gone), 0)
	f.equal("still there", d.known[quiet], f.summary(quiet, u))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func changedGone(f *fixture) {
	u, other := f.user(), f.user()
	c, stay := f.channel(other, u), f.group(other, u)
	phone, tablet := newDevice(u), newDevice(u)
	phone.sync(f, 9)
	tablet.sync(f, 9)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, other, u))
	_, gone := phone.sync(f, 9)
	f.equal("gone", gone, []chat.ConversationID{c})
	// What happens there later is not listed.
	f.send(c, other, "secret")
	changed, gone := phone.sync(f, 9)
	f.equal("nothing more", len(changed)+len(gone), 0)
	must[store.Change](f)(f.s.Join(f.ctx(), c, u))
	changed, gone = phone.sync(f, 9)
	f.equal("back", changed, []chat.ConversationID{c})
	f.equal("not gone", len(gone), 0)
	// The other device was offline all the time.
	changed, gone = tablet.sync(f, 1)
	f.equal("only the end counts", changed, []chat.ConversationID{c})
	f.equal("not gone", len(gone), 0)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, u, u))
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), stay, u, u))
	for _, d := range []*device{phone, tablet} {
		_, gone := d.sync(f, 1)
		f.equal("both gone", gone, []chat.ConversationID{c, stay})
		f.equal("nothing is left", len(d.known), 0)
	}
}

func changedPaging(f *fixture) {
	u := f.user()
	cs := make([]chat.ConversationID, 8)
	for i := range cs {
		cs[i] = f.group(u)
	}
	d := newDevice(u)
	for i := range 40 {
		page, next, _, err := f.s.Changed(f.ctx(), u, d.at, 1)
		f.noError(err)
		d.apply(page, next)
		if i%2 == 0 {
			f.send(cs[(i*5)%8], u, "on it goes")
		}
	}
	d.sync(f, 1)
	f.equal("conversations", len(d.known), 8)
	for id, s := range d.known {
		f.equal("summary", s, f.summary(id, u))
	}
}

// What happens during a first round of several pages is listed at its end, oldest
// change first: also a departure, and a failure.
func changedDuringFirstRound(f *fixture) {
	u, other := f.user(), f.user()
	var cs []chat.ConversationID
	for range 6 {
		cs = append(cs, f.group(other, u))
	}
	for seen := 1; seen <= 5; seen++ { // entries before what happens
		d := newDevice(u)
		page, next, more, err := f.s.Changed(f.ctx(), u, "", seen)
		f.noError(err)
		f.equal("more", []any{len(page), more}, []any{seen, true})
		d.apply(page, next)
		late, early := cs[len(cs)-1], cs[0]
		f.send(late, other, "x")
		f.send(early, other, "x")
		left := f.group(other, u)
		must[store.Change](f)(f.s.RemoveMember(f.ctx(), left, other, u))
		fresh := f.group(other, u)
		f.append(submission(left, u, "of one who has left"))
		failures := len(must[[]chat.Failure](f)(f.s.Failures(f.ctx(), u, d.at)))
		changed, gone := d.sync(f, 4)
		f.equal("the failure", failures > 0, true)
		f.equal("oldest change first", changed[len(changed)-3:], []chat.ConversationID{late, early, fresh})
		f.equal("left", gone, []chat.ConversationID{left})
		cs = append(cs, fresh)
		f.equal("known", len(d.known), len(cs))
		for _, id := range cs {
			f.equal("summary", d.known[id], f.summary(id, u))
		}
		f.equal("has changed", must[[]bool](f)(f.s.HasChanged(f.ctx(), []store.Device{{User: u, After: d.at}})), []bool{false})
	}
}

// A device continues after any entry of a page, the last one too, in its first
// round and in later ones, and misses nothing of what happens meanwhile.
func changedWithin(f *fixture) {
	u, other := f.user(), f.user()
	var cs []chat.ConversationID
	for range 6 {
		cs = append(cs, f.group(other, u))
	}
	d := newDevice(u)
	for round := range 3 {
		for taken := 1; taken <= len(cs); taken++ {
			page, _, _, err := f.s.Changed(f.ctx(), u, d.at, 100)
			f.noError(err)
			if len(page) == 0 {
				break
			}
			page = page[:min(taken, len(page))]
			d.apply(page, page[len(page)-1].Next)
			f.send(cs[(round+taken)%len(cs)], other, "meanwhile")
		}
		left := cs[0]
		cs = cs[1:]
		must[store.Change](f)(f.s.RemoveMember(f.ctx(), left, u, u))
		page, _, more, err := f.s.Changed(f.ctx(), u, d.at, 100)
		f.noError(err)
		f.equal("the rest is one page", more, false)
		for i := range page {
			d.apply(page[i:i+1], page[i].Next)
		}
		f.equal("conversations", len(d.known), len(cs))
		for _, id := range cs {
			f.equal("summary", d.known[id], f.summary(id, u))
		}
		for _, id := range cs {
			f.send(id, other, "again")
		}
	}
	d.sync(f, 2)
	for _, id := range cs {
		f.equal("summary", d.known[id], f.summary(id, u))
	}
}

func positionKept(f *fixture) {
	u := f.user()
	a, b := f.group(u), f.group(u)
	d := newDevice(u)
	d.sync(f, 9)
	for range 3 {
		f.reopen()
		changed, gone := d.sync(f, 9)
		f.equal("nothing", len(changed)+len(gone), 0)
		f.send(b, u, "x")
		f.reopen()
		changed, _ = d.sync(f, 1)
		f.equal("changed", changed, []chat.ConversationID{b})
	}
	f.equal("both known", []bool{d.known[a].ID == a, d.known[b].ID == b}, []bool{true, true})
}

func foreignPositions(f *fixture) {
	u := f.user()
	f.group(u)
	d := newDevice(u)
	d.sync(f, 9)
	for _, p := range []store.Position{"x", "0", "-1", d.at + "!", " " + d.at, "zz.12", d.at[1:]} {
		_, _, _, err := f.s.Changed(f.ctx(), u, p, 9)
		if chat.CodeOf(err) != chat.CodeInvalid {
			f.Errorf("position %q: %v", p, err)
		}
	}
}

func changesByRev(f *fixture) {
	a, b := f.user(), f.user()
	c := f.group(a, b)
	title := func(i int) *string { s := fmt.Sprintf("title %d", i); return &s }
	for i := range 12 { // messages and other changes, mixed
		f.sendN(c, a, 1+i%3)
		if i%2 == 0 {
			must[store.Change](f)(f.s.UpdateConversation(f.ctx(), c, a, title(i), nil))
		}
		if i%3 == 0 {
			must[store.Edited](f)(f.s.EditMessage(f.ctx(), c, int64(1+i), a, fmt.Sprintf("edit %d", i)))
		}
		if i%4 == 0 {
			must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), c, int64(1+i/2), a))
		}
		f.mark(c, b, int64(i), int64(i)) // takes no rev
	}
	all := f.history(c, b)
	slices.SortFunc(all, func(x, y chat.Message) int { return int(x.Rev - y.Rev) })
	head := f.summary(c, b).Rev
	for rev := int64(-1); rev <= head+1; rev++ {
		want := all[slices.IndexFunc(append(all, chat.Message{Rev: 1 << 60}), func(m chat.Message) bool { return m.Rev > rev }):]
		f.equal(fmt.Sprintf("after rev %d", rev), f.changes(c, b, rev, 1000), want)
		three := f.changes(c, b, rev, 3)
		f.equal(fmt.Sprintf("three after rev %d", rev), three, want[:min(3, len(want))])
	}
	var paged []chat.Message
	for rev := int64(0); ; {
		page := f.changes(c, b, rev, 1)
		if len(page) == 0 {
			break
		}
		paged, rev = append(paged, page...), page[0].Rev
	}
	f.equal("paged", paged, all)
	empty := f.group(a)
	f.equal("an empty one", len(f.changes(empty, a, 0, 10)), 0)
}

// changes returns a page of what has changed, and checks the head of it.
func (f *fixture) changes(c chat.ConversationID, by chat.UserID, rev int64, limit int) []chat.Message {
	f.Helper()
	page, head, err := f.s.Changes(f.ctx(), c, by, rev, limit)
	f.noError(err)
	f.equal("head", head, f.summary(c, by).Rev)
	return page
}

func hasChanged(f *fixture) {
	u, other, lonely := f.user(), f.user(), f.user()
	a, b, left := f.group(u, other), f.direct(u, other), f.group(u, other)
	elsewhere := f.group(u)
	devices := []*device{newDevice(u), newDevice(other), newDevice(lonely)}
	check := func(what string, want ...bool) {
		f.Helper()
		var all []store.Device
		for _, d := range devices {
			all = append(all, store.Device{User: d.user, After: d.at})
		}
		f.equal(what, must[[]bool](f)(f.s.HasChanged(f.ctx(), all)), want)
		for _, d := range devices {
			d.sync(f, 1)
		}
	}
	check("at the beginning", true, true, true)
	check("nothing", false, false, false)
	f.send(a, other, "x")
	check("a message", true, true, false)
	f.send(elsewhere, u, "x")
	check("a message to one of them", true, false, false)
	must[store.Edited](f)(f.s.EditMessage(f.ctx(), a, 1, other, "y"))
	check("an edit", true, true, false)
	f.mark(a, u, 1, 1)
	check("a mark", true, true, false)
	f.send(b, u, "x")
	check("a message to a pair", true, true, false)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), left, other, other))
	check("a departure", true, true, false)
	f.send(left, u, "x")
	check("what comes after it", true, false, false)
	must[store.Change](f)(f.s.AddMembers(f.ctx(), a, u, []chat.UserID{lonely}))
	check("the first conversation", true, true, true)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), a, lonely, lonely))
	check("the last conversation", true, true, true)
	f.append(submission(a, lonely, "refused"))
	check("a failure", false, false, true)
	check("nothing more", false, false, false)
	f.equal("of the first and last conversation", len(devices[2].known), 0)
	f.equal("of nobody", len(must[[]bool](f)(f.s.HasChanged(f.ctx(), nil))), 0)
	f.equal("of a position that is none", must[[]bool](f)(f.s.HasChanged(f.ctx(), []store.Device{{User: u, After: "x9.1"}})), []bool{true})
	_, paging, more, err := f.s.Changed(f.ctx(), u, "", 1)
	f.noError(err)
	f.equal("of a device that is paging", must[[]bool](f)(f.s.HasChanged(f.ctx(), []store.Device{{User: u, After: paging}})), []bool{more})
}

// The marks of others are changes where they are shown: in conversations of two
// people, and in other small ones.
func marksOfOthers(f *fixture) {
	u := f.user()
	others := f.users(chat.SmallConversation)
	pair, small, large := f.direct(u, others[0]), f.group(u, others[:chat.SmallConversation-1]...), f.channel(u, others...)
	all := []chat.ConversationID{pair, small, large}
	for _, c := range all {
		f.sendN(c, u, 9)
	}
	d, other := newDevice(u), newDevice(others[0])
	d.sync(f, 9)
	other.sync(f, 9)
	check := func(what string, by chat.UserID, read, received int64, pairRead, pairReceived, smallRead int64) {
		f.Helper()
		for _, c := range all {
			if _, _, err := f.s.Mark(f.ctx(), c, by, read, received); err != nil && chat.CodeOf(err) != chat.CodeNotFound {
				f.Fatal(err)
			}
			want := d.known[c]
			switch c {
			case pair:
				want.PeerRead, want.PeerReceived = pairRead, pairReceived
			case small:
				want.OthersRead = smallRead
			}
			f.equal(what, f.summary(c, u), want)
			moved := !cmp.Equal(want, d.known[c]) || c == small && (read > 0 || received > 0)
			f.equal(what+": has changed", must[[]bool](f)(f.s.HasChanged(f.ctx(), []store.Device{{User: u, After: d.at}})), []bool{moved})
			changed, gone := d.sync(f, 1)
			if moved {
				f.equal(what+": changed", changed, []chat.ConversationID{c})
			} else {
				f.equal(what+": changed", len(changed), 0)
			}
			f.equal(what+": gone", len(gone), 0)
			f.equal(what, d.known[c], want)
			recent := must[[]chat.Summary](f)(f.s.Recent(f.ctx(), u, time.Time{}, 0, 9))
			f.equal(what+": in the list", recent[slices.IndexFunc(recent, func(s chat.Summary) bool { return s.ID == c })], want)
		}
	}
	check("received", others[0], 0, 3, 0, 3, 0)
	check("read", others[0], 2, 0, 2, 3, 2)
	check("further", others[0], 5, 8, 5, 8, 5)
	check("another one, not as far", others[1], 4, 4, 5, 8, 5)
	check("another one", others[1], 7, 0, 5, 8, 7)
	// One's own do not count as those of others.
	f.mark(small, u, 9, 9)
	f.equal("my own", f.summary(small, u).OthersRead, int64(7))
	f.equal("as others see it", f.summary(small, others[0]).OthersRead, int64(9))
	// Nobody has read by joining, and nobody reads who has left.
	d.sync(f, 9)
	third := others[1]
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), small, u, third))
	f.equal("without who has left", f.summary(small, u).OthersRead, int64(5))
	must[store.Change](f)(f.s.AddMembers(f.ctx(), small, u, []chat.UserID{third}))
	f.equal("of who has joined", f.summary(small, u).OthersRead, int64(5))
	f.send(small, u, "x")
	f.mark(small, third, 10, 0)
	f.equal("once they have read", f.summary(small, u).OthersRead, int64(10))
	d.sync(f, 9)
	// What happens after one has left is not listed.
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), small, u, others[0]))
	other.sync(f, 9)
	f.send(small, u, "x")
	f.mark(small, third, 11, 0)
	f.equal("for who has left", must[[]bool](f)(f.s.HasChanged(f.ctx(), []store.Device{{User: others[0], After: other.at}})), []bool{false})
}

// Marks move while messages are stored and devices catch up: nothing is missed.
func marksMeanwhile(f *fixture) {
	a, b := f.user(), f.user()
	pair, group := f.direct(a, b), f.group(a, b)
	const rounds = 40
	var writers sync.WaitGroup
	for _, c := range []chat.ConversationID{pair, group} {
		f.send(c, a, "first")
		writers.Go(func() {
			for range rounds {
				_, _ = f.decide([]chat.Submission{submission(c, a, "x")})
			}
		})
		for _, by := range []chat.UserID{a, b} {
			writers.Go(func() {
				for n := range int64(rounds) {
					_, _, _ = f.s.Mark(f.ctx(), c, by, n+1, n+1)
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	d := newDevice(a)
	for writing := true; writing; {
		select {
		case <-done:
			writing = false
		default:
		}
		d.sync(f, 1)
	}
	d.sync(f, 1)
	for _, c := range []chat.ConversationID{pair, group} {
		f.equal("summary", d.known[c], f.summary(c, a))
	}
	f.equal("has changed", must[[]bool](f)(f.s.HasChanged(f.ctx(), []store.Device{{User: a, After: d.at}})), []bool{false})
}

// A device that began when its user was in no conversation hears of one that they
// joined and left meanwhile.
func leftAfterAnEmptyList(f *fixture) {
	owner, u := f.user(), f.user()
	d := newDevice(u)
	d.sync(f, 10)
	c := f.group(owner, u)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, owner, u))
	_, gone := d.sync(f, 10)
	f.equal("left", gone, []chat.ConversationID{c})
}

func recentList(f *fixture) {
	u, other := f.user(), f.user()
	var cs []chat.ConversationID
	for range 6 {
		cs = append(cs, f.group(u, other))
	}
	f.send(cs[2], other, "x")
	nextMillisecond() // activity is kept to the millisecond
	f.send(cs[4], other, "x")
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), cs[1], u, u))
	want := must[[]chat.Summary](f)(f.s.Recent(f.ctx(), u, time.Time{}, 0, 100))
	f.equal("how many", len(want), 5)
	f.equal("the latest", want[0].ID, cs[4])
	for i, s := range want {
		f.equal("summary", s, f.summary(s.ID, u))
		if i > 0 {
			p := want[i-1]
			if s.ActiveAt.After(p.ActiveAt) || (s.ActiveAt.Equal(p.ActiveAt) && s.ID > p.ID) {
				f.Errorf("conversation %d comes after %d", s.ID, p.ID)
			}
		}
	}
	var got []chat.Summary
	for at, id := (time.Time{}), chat.ConversationID(0); ; {
		page := must[[]chat.Summary](f)(f.s.Recent(f.ctx(), u, at, id, 1))
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		at, id = page[0].ActiveAt, page[0].ID
	}
	f.equal("paged", got, want)
}

func unread(f *fixture) {
	u, other := f.user(), f.user()
	c := f.group(u, other)
	check := func(what string, want int64) {
		f.Helper()
		f.equal(what, f.summary(c, u).Unread, want)
		page := must[[]chat.Summary](f)(f.s.Recent(f.ctx(), u, time.Time{}, 0, 1))
		f.equal(what+", in the list", page[0].Unread, want)
	}
	check("nothing", 0)
	f.sendN(c, other, 5)
	check("all", 5)
	f.mark(c, u, 2, 0)
	check("after the mark", 3)
	f.send(c, u, "I answer")
	check("my own message reads what is before it", 0)
	f.sendN(c, other, 4)
	check("after my own message", 4)
	must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), c, 10, other))
	check("tombstones count", 4)
	must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), c, 6, u))
	check("my own tombstone counts as mine", 4)
	f.sendN(c, other, 94)
	check("my own message is 98 back", 98)
	f.sendN(c, other, 50)
	check("it is out of sight, so the mark decides", 152)
	f.mark(c, u, 150, 0)
	check("marked", 4)
}

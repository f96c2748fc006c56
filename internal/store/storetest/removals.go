package storetest

import (
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var removalTests = []testCase{
	{name: "a batch goes with all that is its own", run: removedWhole},
	{name: "what it wrote elsewhere stays", run: removedElsewhere},
	{name: "a removal is done in steps", run: removedInSteps},
	{name: "a removal while others talk", run: removedWhileTalking},
	{name: "everything else stays as it was", run: runRemovals},
}

// removal sums up the steps of a removal.
func (w *world) removal(batch string) (sum store.Removal) {
	w.Helper()
	sum.Ended = map[chat.UserID][]chat.SessionID{}
	for range 10_000 {
		step := must[store.Removal](w)(w.s.RemoveBatch(w.ctx(), batch))
		for user, ids := range step.Ended {
			sum.Ended[user] = append(sum.Ended[user], ids...)
		}
		sum.Departures = append(sum.Departures, step.Departures...)
		sum.Messages, sum.Conversations, sum.Accounts = sum.Messages+step.Messages, sum.Conversations+step.Conversations, sum.Accounts+step.Accounts
		if step.Done {
			return sum
		}
	}
	w.Fatal("the removal never ends")
	return sum
}

// exists tells which of the accounts are there.
func (w *world) exists(ids ...chat.UserID) (found []chat.UserID) {
	w.Helper()
	for _, u := range must[[]chat.User](w)(w.s.Users(w.ctx(), ids)) {
		found = append(found, u.ID)
	}
	return found
}

func removedWhole(w *world) {
	batch := unique("batch")
	p, tokens := w.crowd(batch, 80)
	name := must[[]chat.User](w)(w.s.Users(w.ctx(), p[:1]))[0].Name
	hall, pair := w.channel(p[0], p[1:]...), w.direct(p[0], p[1])
	w.group(p[3]) // nothing was said there
	left := w.group(p[0], p[1])
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), left, p[0], p[0]))
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), left, p[1], p[1]))
	w.sendN(hall, p[70], 30)
	earlier := submission(pair, p[0], "once")
	w.append(earlier)
	must[store.Edited](w)(w.s.EditMessage(w.ctx(), pair, 1, p[0], "twice"))
	w.mark(hall, p[5], 20, 20)
	link := must[store.Link](w)(w.s.CreateLink(w.ctx(), store.Link{Conversation: hall, Invitation: store.Invitation{CreatedBy: p[0], Token: token(), ExpiresAt: ms(time.Hour)}}))
	mine := must[[]store.Session](w)(w.s.SessionsOf(w.ctx(), p[0]))[0]
	w.nothing(w.s.PutSubscription(w.ctx(), store.Subscription{User: p[0], Session: mine.ID, Endpoint: unique("https://push.example.org/")}))

	sum := w.removal(batch)
	w.same("removed", []int{sum.Messages, sum.Conversations, sum.Accounts, len(sum.Departures)}, []int{31, 4, 80, 0})
	w.same("sessions", len(sum.Ended), 80)
	w.same("session", sum.Ended[p[0]], []chat.SessionID{mine.ID})
	w.same("accounts", w.exists(p...), []chat.UserID(nil))
	_, _, err := w.s.SessionByToken(w.ctx(), tokens[0], time.Now())
	w.refused(err, chat.CodeUnauthenticated)
	for _, c := range []chat.ConversationID{hall, pair, left} {
		w.refused(second(w.s.Audience(w.ctx(), c)), chat.CodeNotFound)
		w.refused(third(w.s.MemberIDs(w.ctx(), c)), chat.CodeNotFound)
	}
	_, err = w.s.LinkByToken(w.ctx(), link.Token, time.Now())
	w.refused(err, chat.CodeNotFound)
	w.same("heads", must[map[chat.UserID]store.Head](w)(w.s.Heads(w.ctx(), p[:1]))[p[0]], store.Head{})
	// What the broker still holds of it is refused, as is what was stored.
	for _, s := range []chat.Submission{submission(hall, p[0], "late"), earlier} {
		if o := w.append(s)[0]; o.Refusal == nil || o.Refusal.Code != chat.CodeNotFound {
			w.Errorf("%+v", o)
		}
	}
	w.same("sent", len(must[map[store.SendKey]*chat.Message](w)(w.s.FindByClientID(w.ctx(), []store.SendKey{{Sender: p[0], ClientID: earlier.ClientID}}))), 0)
	// It is gone, and its names are free.
	w.same("batch", w.batch(batch), store.Batch{})
	w.refused(second(w.s.RemoveBatch(w.ctx(), batch)), chat.CodeNotFound)
	must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser(name), nil))
	again, _ := w.crowd(batch, 1)
	w.same("again", w.exists(again...), again)
}

func removedElsewhere(w *world) {
	batch := unique("batch")
	p, _ := w.crowd(batch, 6)
	heir, peer := w.user(), w.user()
	author, silent, gone, owner, friend, stranger := p[0], p[1], p[2], p[3], p[4], p[5]
	room := w.channel(owner, author, silent, gone, heir)
	w.send(room, gone, "good bye")
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), room, gone, gone))
	w.sendN(room, heir, 3)
	w.send(room, author, "hello")
	direct := w.direct(peer, friend)
	history := w.history(room, heir)
	before := w.summary(room, heir)
	d := newDevice(heir)
	d.sync(w, 9)

	sum := w.removal(batch)
	w.same("removed", []int{sum.Messages, sum.Conversations, sum.Accounts}, []int{0, 0, 3})
	w.same("accounts", w.exists(p...), []chat.UserID{author, gone, friend})
	for _, u := range must[[]chat.User](w)(w.s.Users(w.ctx(), p)) {
		w.same("disabled", u.Disabled, true)
	}
	w.same("gone", w.exists(silent, owner, stranger), []chat.UserID(nil))
	// Those who were in it have left, as anyone does.
	var who []chat.UserID
	for i, out := range sum.Departures {
		who = append(who, out.User)
		w.same("left", out.Change.Left, []chat.UserID{out.User})
		w.same("rev", out.Change.Conversation.Rev, before.Rev+int64(i)+1)
	}
	w.same("partings", sorted(who...), sorted(author, silent, owner))
	w.same("history", w.history(room, heir), history)
	after := w.summary(room, heir)
	w.same("heir", after.Role, chat.Owner)
	w.same("members", w.members(room), []chat.UserID{heir})
	w.same("heads", []int64{after.Rev, after.MembersRev, after.Seq, after.Unread}, []int64{before.Rev + 3, before.Rev + 3, before.Seq, before.Unread})
	changed, left := d.sync(w, 9)
	w.same("heard of", append(changed, left...), []chat.ConversationID{room})
	// A direct conversation cannot be left.
	w.same("the pair", w.members(direct), sorted(peer, friend))
	w.send(direct, peer, "anybody there?")
	w.same("batch", w.batch(batch), store.Batch{})
}

func removedInSteps(w *world) {
	batch := unique("batch")
	p, _ := w.crowd(batch, 2)
	room, outside := w.group(p[0], p[1]), w.user()
	elsewhere := w.channel(outside, p[0])
	const n = 2*store.RemovalWork + 100
	w.sendN(room, p[0], n)
	w.send(elsewhere, p[0], "at the start")
	w.sendN(elsewhere, outside, 30)
	steps, messages := 0, 0
	for {
		step := must[store.Removal](w)(w.s.RemoveBatch(w.ctx(), batch))
		if step.Messages > store.RemovalWork {
			w.Errorf("a step removed %d messages", step.Messages)
		}
		steps++
		messages += step.Messages
		if step.Done {
			break
		}
		w.same("removing", w.batch(batch).Removing, true)
		_, err := w.s.CreateBatchUsers(w.ctx(), batch, []store.NewBatchUser{{NewUser: newUser(unique("late")), Session: store.Session{Token: token()}}})
		w.refused(err, chat.CodeConflict)
		// What is on its way out is seen by nobody, and joined by nobody.
		if messages > 0 {
			w.refused(second(w.s.Join(w.ctx(), room, outside)), chat.CodeNotFound)
			w.refused(second(w.s.History(w.ctx(), room, p[0], 1, 9, false, 9)), chat.CodeNotFound)
			if o := w.append(submission(room, p[0], "late"))[0]; o.Refusal == nil || o.Refusal.Code != chat.CodeNotFound {
				w.Errorf("%+v", o)
			}
		}
		w.reopen()
	}
	w.same("messages", messages, n)
	if steps < 3 {
		w.Errorf("%d steps", steps)
	}
	w.refused(second(w.s.Audience(w.ctx(), room)), chat.CodeNotFound)
	w.same("accounts", w.exists(p...), p[:1])
	w.same("elsewhere", len(w.history(elsewhere, outside)), 31)
}

// removedWhileTalking removes a batch from two sides while its people and
// others send: nothing else is hurt.
func removedWhileTalking(w *world) {
	batch := unique("batch")
	p, _ := w.crowd(batch, 40)
	outside := w.user()
	shared, apart := w.channel(outside, p...), w.group(outside)
	var own []chat.ConversationID
	for i := range 20 {
		own = append(own, w.direct(p[i], p[i+20]))
	}
	stored := 0
	parallel(w, 4, func(i int) {
		if i >= 2 {
			for range 10_000 {
				out, err := w.s.RemoveBatch(w.ctx(), batch)
				if chat.CodeOf(err) == chat.CodeNotFound || out.Done {
					return
				}
				if err != nil {
					w.Error(err)
					return
				}
			}
		}
		for r := range 30 {
			// One writes to everything in turn, one apart from it all.
			in := []chat.Submission{submission(apart, outside, "apart")}
			if i == 0 {
				in = []chat.Submission{submission(shared, p[r], "shared"), submission(own[r%20], p[r%20], "own"), submission(shared, outside, "outside")}
			}
			out, err := w.s.Append(w.ctx(), in)
			if err != nil {
				w.Error(err)
				return
			}
			for k, o := range out {
				switch {
				case in[k].Sender == outside && o.Verdict != chat.Stored:
					w.Errorf("%+v", o)
				case o.Verdict == 0 && o.Refusal.Code != chat.CodeNotFound:
					w.Errorf("%+v", o)
				case o.Verdict == chat.Stored && in[k].Conversation == shared:
					stored++
				}
			}
		}
	})
	w.same("batch", w.batch(batch), store.Batch{})
	w.same("apart", len(w.history(apart, outside)), 30)
	history := w.history(shared, outside)
	w.same("shared", len(history), stored)
	authors := map[chat.UserID]bool{}
	for _, m := range history {
		authors[m.Sender] = true
	}
	for _, u := range p {
		if found := slices.Contains(w.exists(p...), u); found != authors[u] {
			w.Errorf("account %d is there: %v; it wrote: %v", u, found, authors[u])
		}
	}
	for _, c := range own {
		w.refused(second(w.s.Audience(w.ctx(), c)), chat.CodeNotFound)
	}
}

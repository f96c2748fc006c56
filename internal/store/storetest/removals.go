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
	{name: "a removal while others send", run: removedWhileSending},
	{name: "everything else is unchanged", run: runRemovals},
}

// removal runs all steps of a removal and returns their sum.
func (f *fixture) removal(batch string) (sum store.Removal) {
	f.Helper()
	sum.Ended = map[chat.UserID][]chat.SessionID{}
	for range 10_000 {
		step := must[store.Removal](f)(f.s.RemoveBatch(f.ctx(), batch))
		for user, ids := range step.Ended {
			sum.Ended[user] = append(sum.Ended[user], ids...)
		}
		sum.Departures = append(sum.Departures, step.Departures...)
		sum.Messages, sum.Conversations, sum.Accounts = sum.Messages+step.Messages, sum.Conversations+step.Conversations, sum.Accounts+step.Accounts
		if step.Done {
			return sum
		}
	}
	f.Fatal("the removal never ends")
	return sum
}

// existing returns those of the accounts that exist.
func (f *fixture) existing(ids ...chat.UserID) (found []chat.UserID) {
	f.Helper()
	for _, u := range must[[]chat.User](f)(f.s.Users(f.ctx(), ids)) {
		found = append(found, u.ID)
	}
	return found
}

func removedWhole(f *fixture) {
	batch := unique("batch")
	p, tokens := f.batchUsers(batch, 80)
	name := must[[]chat.User](f)(f.s.Users(f.ctx(), p[:1]))[0].Name
	channel, pair := f.channel(p[0], p[1:]...), f.direct(p[0], p[1])
	f.group(p[3]) // nothing was said there
	left := f.group(p[0], p[1])
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), left, p[0], p[0]))
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), left, p[1], p[1]))
	f.sendN(channel, p[70], 30)
	earlier := submission(pair, p[0], "once")
	f.append(earlier)
	must[store.Edited](f)(f.s.EditMessage(f.ctx(), pair, 1, p[0], "twice"))
	f.mark(channel, p[5], 20, 20)
	link := must[store.Link](f)(f.s.CreateLink(f.ctx(), store.Link{Conversation: channel, Invitation: store.Invitation{CreatedBy: p[0], Token: token(), ExpiresAt: ms(time.Hour)}}))
	mine := must[[]store.Session](f)(f.s.SessionsOf(f.ctx(), p[0]))[0]
	f.noError(f.s.PutSubscription(f.ctx(), store.Subscription{User: p[0], Session: mine.ID, Endpoint: unique("https://push.example.org/")}))

	sum := f.removal(batch)
	f.equal("removed", []int{sum.Messages, sum.Conversations, sum.Accounts, len(sum.Departures)}, []int{31, 4, 80, 0})
	f.equal("sessions", len(sum.Ended), 80)
	f.equal("session", sum.Ended[p[0]], []chat.SessionID{mine.ID})
	f.equal("accounts", f.existing(p...), []chat.UserID(nil))
	_, _, err := f.s.SessionByToken(f.ctx(), tokens[0], time.Now())
	f.refused(err, chat.CodeUnauthenticated)
	for _, c := range []chat.ConversationID{channel, pair, left} {
		f.refused(second(f.s.Audience(f.ctx(), c)), chat.CodeNotFound)
		f.refused(third(f.s.MemberIDs(f.ctx(), c)), chat.CodeNotFound)
	}
	_, err = f.s.LinkByToken(f.ctx(), link.Token, time.Now())
	f.refused(err, chat.CodeNotFound)
	// Messages of it that are still in the broker are refused, also those that
	// were stored.
	for _, s := range []chat.Submission{submission(channel, p[0], "late"), earlier} {
		if o := f.append(s)[0]; o.Refusal == nil || o.Refusal.Code != chat.CodeNotFound {
			f.Errorf("%+v", o)
		}
	}
	key := store.SendKey{Sender: p[0], ClientID: earlier.ClientID}
	if e := must[map[store.SendKey]chat.Earlier](f)(f.s.FindByClientID(f.ctx(), []store.SendKey{key}))[key]; e.Message != nil {
		f.Errorf("%+v is left", e.Message)
	}
	// The batch is gone, and its names are free.
	f.equal("batch", f.batch(batch), store.Batch{})
	f.refused(second(f.s.RemoveBatch(f.ctx(), batch)), chat.CodeNotFound)
	must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(name), nil))
	again, _ := f.batchUsers(batch, 1)
	f.equal("again", f.existing(again...), again)
}

func removedElsewhere(f *fixture) {
	batch := unique("batch")
	p, _ := f.batchUsers(batch, 6)
	successor, peer := f.user(), f.user()
	author, silent, gone, owner, friend, outsider := p[0], p[1], p[2], p[3], p[4], p[5]
	room := f.channel(owner, author, silent, gone, successor)
	f.send(room, gone, "good bye")
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), room, gone, gone))
	f.sendN(room, successor, 3)
	f.send(room, author, "hello")
	direct := f.direct(peer, friend)
	history := f.history(room, successor)
	before := f.summary(room, successor)
	d := newDevice(successor)
	d.sync(f, 9)

	sum := f.removal(batch)
	f.equal("removed", []int{sum.Messages, sum.Conversations, sum.Accounts}, []int{0, 0, 3})
	f.equal("accounts", f.existing(p...), []chat.UserID{author, gone, friend})
	for _, u := range must[[]chat.User](f)(f.s.Users(f.ctx(), p)) {
		f.equal("disabled", u.Disabled, true)
	}
	f.equal("gone", f.existing(silent, owner, outsider), []chat.UserID(nil))
	// Its members have left the conversation in the usual way.
	var who []chat.UserID
	for i, out := range sum.Departures {
		who = append(who, out.User)
		f.equal("left", out.Change.Left, []chat.UserID{out.User})
		f.equal("rev", out.Change.Conversation.Rev, before.Rev+int64(i)+1)
	}
	f.equal("departures", sorted(who...), sorted(author, silent, owner))
	f.equal("history", f.history(room, successor), history)
	after := f.summary(room, successor)
	f.equal("successor", after.Role, chat.Owner)
	f.equal("members", f.members(room), []chat.UserID{successor})
	f.equal("heads", []int64{after.Rev, after.MembersRev, after.Seq, after.Unread}, []int64{before.Rev + 3, before.Rev + 3, before.Seq, before.Unread})
	changed, left := d.sync(f, 9)
	f.equal("heard of", append(changed, left...), []chat.ConversationID{room})
	// A direct conversation cannot be left.
	f.equal("the pair", f.members(direct), sorted(peer, friend))
	f.send(direct, peer, "anybody there?")
	f.equal("batch", f.batch(batch), store.Batch{})
}

func removedInSteps(f *fixture) {
	batch := unique("batch")
	p, _ := f.batchUsers(batch, 2)
	room, outside := f.group(p[0], p[1]), f.user()
	elsewhere := f.channel(outside, p[0])
	const n = 2*store.RemovalStepRows + 100
	f.sendN(room, p[0], n)
	f.send(elsewhere, p[0], "at the start")
	f.sendN(elsewhere, outside, 30)
	steps, messages := 0, 0
	for {
		step := must[store.Removal](f)(f.s.RemoveBatch(f.ctx(), batch))
		if step.Messages > store.RemovalStepRows {
			f.Errorf("a step removed %d messages", step.Messages)
		}
		steps++
		messages += step.Messages
		if step.Done {
			break
		}
		f.equal("removing", f.batch(batch).Removing, true)
		_, err := f.s.CreateBatchUsers(f.ctx(), batch, []store.NewBatchUser{{NewUser: newUser(unique("late")), Session: store.Session{Token: token()}}})
		f.refused(err, chat.CodeConflict)
		// Nobody can see or join what is being removed.
		if messages > 0 {
			f.refused(second(f.s.Join(f.ctx(), room, outside)), chat.CodeNotFound)
			f.refused(second(f.s.History(f.ctx(), room, p[0], 1, 9, false, 9)), chat.CodeNotFound)
			if o := f.append(submission(room, p[0], "late"))[0]; o.Refusal == nil || o.Refusal.Code != chat.CodeNotFound {
				f.Errorf("%+v", o)
			}
		}
		f.reopen()
	}
	f.equal("messages", messages, n)
	if steps < 3 {
		f.Errorf("%d steps", steps)
	}
	f.refused(second(f.s.Audience(f.ctx(), room)), chat.CodeNotFound)
	f.equal("accounts", f.existing(p...), p[:1])
	f.equal("elsewhere", len(f.history(elsewhere, outside)), 31)
}

// removedWhileSending removes a batch in two goroutines while its users and
// others send: nothing else is affected.
func removedWhileSending(f *fixture) {
	batch := unique("batch")
	p, _ := f.batchUsers(batch, 40)
	outside := f.user()
	shared, apart := f.channel(outside, p...), f.group(outside)
	var own []chat.ConversationID
	for i := range 20 {
		own = append(own, f.direct(p[i], p[i+20]))
	}
	stored := 0
	parallel(f, 4, func(i int) {
		if i >= 2 {
			for range 10_000 {
				out, err := f.s.RemoveBatch(f.ctx(), batch)
				if chat.CodeOf(err) == chat.CodeNotFound || out.Done {
					return
				}
				if err != nil {
					f.Error(err)
					return
				}
			}
		}
		for r := range 30 {
			// One sender writes to all conversations in turn, the other to an
			// unrelated one.
			in := []chat.Submission{submission(apart, outside, "apart")}
			if i == 0 {
				in = []chat.Submission{submission(shared, p[r], "shared"), submission(own[r%20], p[r%20], "own"), submission(shared, outside, "outside")}
			}
			out, err := f.decide(in)
			if err != nil {
				f.Error(err)
				return
			}
			for k, o := range out {
				switch {
				case in[k].Sender == outside && o.Verdict != chat.Stored:
					f.Errorf("%+v", o)
				case o.Verdict == 0 && o.Refusal.Code != chat.CodeNotFound:
					f.Errorf("%+v", o)
				case o.Verdict == chat.Stored && in[k].Conversation == shared:
					stored++
				}
			}
		}
	})
	f.equal("batch", f.batch(batch), store.Batch{})
	f.equal("apart", len(f.history(apart, outside)), 30)
	history := f.history(shared, outside)
	f.equal("shared", len(history), stored)
	authors := map[chat.UserID]bool{}
	for _, m := range history {
		authors[m.Sender] = true
	}
	for _, u := range p {
		if found := slices.Contains(f.existing(p...), u); found != authors[u] {
			f.Errorf("account %d is there: %v; it wrote: %v", u, found, authors[u])
		}
	}
	for _, c := range own {
		f.refused(second(f.s.Audience(f.ctx(), c)), chat.CodeNotFound)
	}
}

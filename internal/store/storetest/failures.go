package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var failureTests = []testCase{
	{name: "what has failed stays so", run: failedStays},
	{name: "a client id that has failed", run: failedTakesID},
	{name: "what was requeued is decided about anew", run: requeued},
	{name: "a refusal from outside", run: refuseOne},
	{name: "refusing non-members", run: refuseNonMembers},
	{name: "failures are listed", run: failuresListed},
	{name: "failures are listed while a device pages", run: failuresWhilePaging},
	{name: "the latest failures are listed", run: latestFailures},
	{name: "one verdict of many", run: oneVerdict},
}

// codes returns the codes of refusals, "" for what was not refused.
func codes(out []chat.Outcome) []chat.Code {
	list := make([]chat.Code, len(out))
	for i, o := range out {
		if o.Refusal != nil {
			list[i] = o.Refusal.Code
		}
	}
	return list
}

func keyOf(s chat.Submission) store.SendKey {
	return store.SendKey{Sender: s.Sender, ClientID: s.ClientID}
}

func (f *fixture) failures(user chat.UserID, after store.Position) []chat.Failure {
	f.Helper()
	return must[[]chat.Failure](f)(f.s.Failures(f.ctx(), user, after))
}

// failureOf is the failure that a submission must have; the time is checked and
// copied.
func (f *fixture) failureOf(s chat.Submission, refusal *chat.Error, got chat.Failure) chat.Failure {
	f.Helper()
	f.recent("At", got.At)
	return chat.Failure{
		Sender: s.Sender, ClientID: s.ClientID, Conversation: s.Conversation, Digest: s.Digest(),
		Code: refusal.Code, Field: refusal.Field, Text: refusal.Text, At: got.At,
	}
}

// A submission that was refused is refused in the same way for ever, whatever has
// changed since: its author may be a member now.
func failedStays(f *fixture) {
	owner, a := f.user(), f.user()
	c := f.group(owner)
	s, reply := submission(c, a, "let me in"), submission(c, owner, "about that")
	reply.ReplyTo = 1
	first := f.append(s, reply)
	f.equal("refused", codes(first), []chat.Code{chat.CodeNotFound, chat.CodeInvalid})
	must[store.Change](f)(f.s.AddMembers(f.ctx(), c, owner, []chat.UserID{a}))
	f.equal("of a member", f.send(c, a, "another").Seq, int64(1)) // so the reply has its message
	for range 2 {
		// In company, alone, and as a duplicate of a batch that has others.
		out := f.append(submission(c, a, "new"), s, reply)
		f.equal("refused again", []*chat.Error{out[1].Refusal, out[2].Refusal}, []*chat.Error{first[0].Refusal, first[1].Refusal})
		f.equal("alone", f.append(s), []chat.Outcome{first[0]})
		f.reopen()
	}
	f.equal("stored", len(f.history(c, owner)), 3)
	got := must[map[store.SendKey]chat.Earlier](f)(f.s.FindByClientID(f.ctx(), []store.SendKey{keyOf(s)}))[keyOf(s)]
	if got.Failure == nil || got.Message != nil {
		f.Fatalf("%+v", got)
	}
	f.equal("found", *got.Failure, f.failureOf(s, first[0].Refusal, *got.Failure))
}

func failedTakesID(f *fixture) {
	a := f.user()
	c := f.group(a)
	bad := submission(c, a, "")
	f.append(bad)
	good := bad
	good.Body = "with a text"
	for range 2 {
		f.equal("another text", codes(f.append(good, submission(c, a, "between"))), []chat.Code{chat.CodeConflict, ""})
		f.reopen()
	}
	f.equal("the first", codes(f.append(bad)), []chat.Code{chat.CodeInvalid})
	f.equal("stored", len(f.history(c, a)), 2)
	var listed []chat.Digest
	for _, failure := range f.failures(a, "") {
		listed = append(listed, failure.Digest)
	}
	f.equal("each attempt is listed once", listed, []chat.Digest{bad.Digest(), good.Digest()})
}

func requeued(f *fixture) {
	owner, a := f.user(), f.user()
	c := f.group(owner)
	s := submission(c, a, "let me in")
	f.append(s)
	again := s
	again.Requeued = true
	f.equal("still no member", codes(f.append(again, s)), []chat.Code{chat.CodeNotFound, chat.CodeNotFound})
	f.equal("listed once", len(f.failures(a, "")), 1)
	must[store.Change](f)(f.s.AddMembers(f.ctx(), c, owner, []chat.UserID{a}))
	f.equal("not requeued", codes(f.append(s)), []chat.Code{chat.CodeNotFound})
	out := f.append(submission(c, a, "new"), again, s, again)
	f.equal("stored", []chat.Verdict{out[1].Verdict, out[2].Verdict, out[3].Verdict}, []chat.Verdict{chat.Stored, chat.Duplicate, chat.Duplicate})
	for range 2 {
		f.equal("and kept", f.append(s)[0].Message, out[1].Message)
		f.equal("not listed", len(f.failures(a, "")), 0)
		f.reopen()
	}
	// Failed and requeued in one batch.
	bad := submission(c, a, "")
	badAgain := bad
	badAgain.Requeued = true
	f.equal("twice", codes(f.append(bad, badAgain, bad)), []chat.Code{chat.CodeInvalid, chat.CodeInvalid, chat.CodeInvalid})
	f.equal("listed", len(f.failures(a, "")), 1)
}

func refuseOne(f *fixture) {
	a := f.user()
	c := f.group(a)
	s, stored := submission(c, a, "poison"), submission(c, a, "stored")
	refusal := chat.Refuse(chat.CodeInvalid, "body", "cannot be stored")
	first := f.append(stored)[0]
	for range 2 {
		o := must[chat.Outcome](f)(f.s.Refuse(f.ctx(), s, refusal))
		f.equal("refused", o, chat.Outcome{Refusal: refusal})
		f.equal("from then on", f.append(s), []chat.Outcome{{Refusal: refusal}})
		o = must[chat.Outcome](f)(f.s.Refuse(f.ctx(), stored, refusal))
		f.equal("what was stored is stored", o, chat.Outcome{Verdict: chat.Duplicate, Message: first.Message})
	}
	other := must[chat.Outcome](f)(f.s.Refuse(f.ctx(), s, chat.NotFound("conversation")))
	f.equal("the first refusal counts", other.Refusal, refusal)
}

func refuseNonMembers(f *fixture) {
	owner, left, outsider := f.user(), f.user(), f.user()
	c := f.group(owner, left)
	before := submission(c, left, "before I go")
	first := f.append(before)[0]
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, owner, left))
	changed := before
	changed.Body = "another text"
	after, stranger, member := submission(c, left, "after"), submission(c, outsider, "who is there"), submission(c, owner, "me")
	batch := []chat.Submission{before, changed, after, stranger, member, stranger, submission(1, owner, "nowhere")}
	for range 2 {
		out := must[[]chat.Outcome](f)(f.s.RefuseNonMembers(f.ctx(), batch))
		f.equal("codes", codes(out), []chat.Code{"", chat.CodeConflict, chat.CodeNotFound, chat.CodeNotFound, "", chat.CodeNotFound, chat.CodeNotFound})
		f.equal("it was stored", out[0], chat.Outcome{Verdict: chat.Duplicate, Message: first.Message})
		f.equal("a member may send", out[4], chat.Outcome{})
	}
	must[store.Change](f)(f.s.AddMembers(f.ctx(), c, owner, []chat.UserID{left}))
	out := must[[]chat.Outcome](f)(f.s.RefuseNonMembers(f.ctx(), []chat.Submission{after, submission(c, left, "I am back")}))
	f.equal("a member again", codes(out), []chat.Code{chat.CodeNotFound, ""})
	f.equal("the verdict stays", codes(f.append(after, member)), []chat.Code{chat.CodeNotFound, ""})
	f.equal("none", len(must[[]chat.Outcome](f)(f.s.RefuseNonMembers(f.ctx(), nil))), 0)
}

func failuresListed(f *fixture) {
	owner, a := f.user(), f.user()
	c := f.group(owner)
	d := newDevice(a)
	d.sync(f, 10)
	start := d.at
	f.equal("none", len(f.failures(a, start)), 0)
	one, two := submission(c, a, "one"), submission(c, a, "two")
	refusal := f.append(one)[0].Refusal
	listed := f.failures(a, start)
	f.equal("listed", listed, []chat.Failure{f.failureOf(one, refusal, listed[0])})
	f.append(two, one)
	f.equal("in order", digests(f.failures(a, start)), []chat.Digest{one.Digest(), two.Digest()})
	f.equal("from the beginning", digests(f.failures(a, "")), []chat.Digest{one.Digest(), two.Digest()})
	f.equal("of others", len(f.failures(owner, "")), 0)
	// After a change of a conversation the device's position is past them.
	mine := f.group(a)
	d.sync(f, 10)
	f.equal("seen", len(f.failures(a, d.at)), 0)
	f.append(submission(mine, a, ""))
	f.equal("and on", len(f.failures(a, d.at)), 1)
	_, err := f.s.Failures(f.ctx(), a, "nonsense")
	f.refused(err, chat.CodeInvalid)
}

func digests(list []chat.Failure) []chat.Digest {
	out := make([]chat.Digest, len(list))
	for i := range list {
		out[i] = list[i].Digest
	}
	return out
}

// failuresWhilePaging checks that a device that pages through changes, and asks
// for failures with the position of each page, hears of all of them.
func failuresWhilePaging(f *fixture) {
	a := f.user()
	cs := []chat.ConversationID{f.group(a), f.group(a), f.group(a), f.group(a)}
	at, failed := store.Position(""), []chat.Digest{}
	heard := map[chat.Digest]bool{}
	for i := range 12 {
		bad := submission(cs[i%4], a, "")
		f.append(bad, submission(cs[(i+1)%4], a, "a change"))
		failed = append(failed, bad.Digest())
		_, next, _, err := f.s.Changed(f.ctx(), a, at, 1)
		f.noError(err)
		for _, d := range digests(f.failures(a, at)) {
			heard[d] = true
		}
		at = next
	}
	done := false
	for range 20 {
		_, next, more, err := f.s.Changed(f.ctx(), a, at, 1)
		f.noError(err)
		for _, d := range digests(f.failures(a, at)) {
			heard[d] = true
		}
		at = next
		if done && !more {
			break
		}
		done = !more // and once more: what happened in the round comes after it
	}
	for i, d := range failed {
		if !heard[d] {
			f.Errorf("the device has not heard of failure %d", i)
		}
	}
}

func latestFailures(f *fixture) {
	a, outsider := f.user(), f.user()
	c := f.group(a)
	var last []chat.Digest
	for range 3 {
		batch := batchOf(c, outsider, store.MaxFailures/2)
		f.append(batch...)
		for _, s := range batch {
			last = append(last, s.Digest())
		}
	}
	list := digests(f.failures(outsider, ""))
	f.equal("as many as are listed", len(list), store.MaxFailures)
	for _, d := range list {
		if !slices.Contains(last[store.MaxFailures/2:], d) {
			f.Fatal("an early failure is listed")
		}
	}
}

// oneVerdict has the same submissions decided about at the same time, in the
// worker's way and in the gateway's, while their author comes and goes. Whatever
// the first verdict is, all others are the same.
func oneVerdict(f *fixture) {
	owner, a := f.user(), f.user()
	c := f.group(owner)
	for range 10 {
		batch := batchOf(c, a, 5)
		outs := make([][]chat.Outcome, 6)
		var deciding sync.WaitGroup
		for i := range outs {
			deciding.Go(func() {
				var err error
				if i%3 == 2 {
					outs[i], err = f.s.RefuseNonMembers(f.ctx(), batch)
				} else {
					outs[i], err = f.decide(batch)
				}
				if err != nil {
					f.Error(err)
				}
			})
		}
		_, _ = f.s.AddMembers(f.ctx(), c, owner, []chat.UserID{a})
		_, _ = f.s.RemoveMember(f.ctx(), c, owner, a)
		deciding.Wait()
		if f.Failed() {
			return
		}
		final := f.append(batch...)
		for i := range batch {
			for w, out := range outs {
				if w%3 == 2 && out[i].Verdict == 0 && out[i].Refusal == nil {
					continue // it was a member then: no verdict
				}
				if (out[i].Refusal == nil) != (final[i].Refusal == nil) {
					f.Fatalf("message %d: %+v, and finally %+v", i, out[i], final[i])
				}
			}
		}
	}
}

// RunRetention tests for how long failures are stored. open gives a store without
// any data that goes by the clock; the backend closes it when the test ends.
func RunRetention(t *testing.T, open func(now func() time.Time) store.Store) {
	now := time.Now().UTC()
	f := &fixture{T: t, s: open(func() time.Time { return now })}
	owner, a := f.user(), f.user()
	c := f.group(owner)
	first, second := submission(c, a, "first"), submission(c, a, "second")
	f.append(first)
	now = now.Add(store.FailureRetention - time.Hour)
	f.append(second)
	f.equal("both are kept", digests(f.failures(a, "")), []chat.Digest{first.Digest(), second.Digest()})
	must[store.Change](f)(f.s.AddMembers(f.ctx(), c, owner, []chat.UserID{a}))
	f.equal("and count", codes(f.append(first)), []chat.Code{chat.CodeNotFound})
	now = now.Add(2 * time.Hour)
	third := submission(c, a, "")
	f.append(third)
	f.equal("the first is gone", digests(f.failures(a, "")), []chat.Digest{second.Digest(), third.Digest()})
	f.equal("and is decided about anew", f.append(first)[0].Verdict, chat.Stored)
	f.equal("the second counts", codes(f.append(second)), []chat.Code{chat.CodeNotFound})

	// A conflict is younger than what it was in conflict with, and is decided about
	// anew when that is gone.
	b := f.user()
	taken, other := submission(c, b, "taken"), submission(c, b, "other")
	other.ClientID = taken.ClientID
	f.equal("it takes its id", codes(f.append(taken)), []chat.Code{chat.CodeNotFound})
	now = now.Add(time.Hour)
	f.equal("the id is taken", codes(f.append(other)), []chat.Code{chat.CodeConflict})
	now = now.Add(store.FailureRetention - time.Minute)
	f.append(submission(c, b, "what was before goes"))
	f.equal("the id is free", codes(f.append(other)), []chat.Code{chat.CodeNotFound})
	f.equal("the new verdict counts", codes(f.append(other)), []chat.Code{chat.CodeNotFound})
	f.equal("and takes the id", codes(f.append(taken)), []chat.Code{chat.CodeConflict})
}

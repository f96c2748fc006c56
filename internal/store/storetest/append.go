package storetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var appendTests = []testCase{
	{name: "messages are kept as sent", run: messagesKept},
	{name: "an empty batch", run: emptyBatch},
	{name: "what is refused", run: refusedSends},
	{name: "refusals do not touch the others", run: mixedBatch},
	{name: "twice in a batch", run: twiceInBatch},
	{name: "in another batch and after opening again", run: twiceLater},
	{name: "a duplicate after its author has left", run: duplicateAfterLeaving},
	{name: "a duplicate of what was edited or deleted", run: duplicateOfChanged},
	{name: "a conflict", run: conflicts},
	{name: "one client id of two senders", run: sameIDOfTwo},
	{name: "many duplicates among new ones", run: manyDuplicates},
	{name: "many conversations in a batch", run: manyConversations},
	{name: "what was sent is found by its client id", run: findByClientID},
	{name: "an ended context", run: endedContext},
	{name: "a clock that jumps", run: clockJumps, fresh: true},
}

func messagesKept(f *fixture) {
	a, b := f.user(), f.user()
	c := f.group(a, b)
	bodies := []string{
		"plain", "with 飛脚 and 🏃", strings.Repeat("x", chat.MaxBody), "a\tb\r\nc", `quotes ' " \ %_`, " spaces around ",
	}
	var batch []chat.Submission
	for i, body := range bodies {
		batch = append(batch, submission(c, []chat.UserID{a, b}[i%2], body))
	}
	batch[3].ReplyTo = 1
	batch[5].ReplyTo = 5 // of the same batch
	out := f.append(batch...)
	want := make([]chat.Message, len(out))
	ids := map[chat.MessageID]bool{}
	for i, o := range out {
		f.recent("At", o.Message.At)
		want[i] = chat.Message{
			ID: o.Message.ID, Conversation: c, Seq: int64(i + 1), Rev: int64(i + 2), Sender: batch[i].Sender,
			ClientID: batch[i].ClientID, Body: bodies[i], ReplyTo: batch[i].ReplyTo, At: o.Message.At,
		}
		f.equal("outcome", o, chat.Outcome{
			Verdict: chat.Stored, Message: want[i],
			Audience: chat.Audience{Conversation: c, MembersRev: 1, Members: sorted(a, b)},
		})
		ids[o.Message.ID] = true
	}
	f.equal("different ids", len(ids), len(bodies))
	for range 2 {
		f.equal("history", f.history(c, b), want)
		s := f.summary(c, b)
		f.equal("head", []int64{s.Seq, s.Rev, s.MembersRev}, []int64{6, 7, 1})
		f.equal("last", *s.Last, want[5])
		f.equal("active", s.ActiveAt, want[5].At)
		f.reopen()
	}
	f.equal("and on", f.send(c, a, "next").Seq, int64(7))
}

func emptyBatch(f *fixture) {
	out, err := f.s.Append(f.ctx(), nil)
	f.noError(err)
	f.equal("outcomes", len(out), 0)
}

func refusedSends(f *fixture) {
	a, outsider := f.user(), f.user()
	c := f.group(a)
	f.send(c, a, "first")
	reply := func(s chat.Submission, to int64) chat.Submission { s.ReplyTo = to; return s }
	for name, t := range map[string]struct {
		in   chat.Submission
		code chat.Code
	}{
		"blank":                 {submission(c, a, " \n"), chat.CodeInvalid},
		"too large":             {submission(c, a, strings.Repeat("x", chat.MaxBody+1)), chat.CodeTooLarge},
		"NUL":                   {submission(c, a, "a\x00b"), chat.CodeInvalid},
		"a control character":   {submission(c, a, "a\x01b"), chat.CodeInvalid},
		"not UTF-8":             {submission(c, a, "a\xff"), chat.CodeInvalid},
		"reply to the future":   {reply(submission(c, a, "x"), 2), chat.CodeInvalid},
		"reply to below":        {reply(submission(c, a, "x"), -1), chat.CodeInvalid},
		"no member":             {submission(c, outsider, "x"), chat.CodeNotFound},
		"unknown conversation":  {submission(1, a, "x"), chat.CodeNotFound},
		"unknown sender":        {submission(c, 1, "x"), chat.CodeNotFound},
		"of another's direct":   {submission(f.direct(a, f.user()), outsider, "x"), chat.CodeNotFound},
		"unknown and malformed": {submission(1, outsider, ""), chat.CodeNotFound},
	} {
		for range 2 { // the answer stays the same
			o := f.append(t.in)[0]
			if o.Refusal == nil || o.Refusal.Code != t.code || o.Verdict != 0 {
				f.Errorf("%s: got %+v, want %s", name, o, t.code)
			}
			f.equal("no message", o.Message, chat.Message{})
			f.equal("no audience", o.Audience, chat.Audience{})
		}
	}
	f.equal("nothing was stored", f.summary(c, a).Rev, int64(2))
}

func mixedBatch(f *fixture) {
	a, b, outsider := f.user(), f.user(), f.user()
	c, d := f.group(a, b), f.direct(a, b)
	earlier := submission(c, b, "earlier")
	f.append(earlier)
	out := f.append(
		submission(c, a, "one"), submission(c, outsider, "no"), submission(d, b, "first"), earlier,
		submission(c, b, ""), submission(c, b, "two"), submission(d, a, "second"),
	)
	var got []string
	for _, o := range out {
		if o.Refusal != nil {
			got = append(got, string(o.Refusal.Code))
		} else {
			got = append(got, fmt.Sprintf("%d %d %d", o.Verdict, o.Message.Seq, o.Message.Rev))
		}
	}
	f.equal("outcomes", got, []string{"1 2 3", "not_found", "1 1 2", "2 1 2", "invalid", "1 3 4", "1 2 3"})
	f.equal("in c", len(f.history(c, a)), 3)
	f.equal("in d", len(f.history(d, a)), 2)
}

func twiceInBatch(f *fixture) {
	a := f.user()
	c := f.group(a)
	s := submission(c, a, "once")
	other := s
	other.Body = "another text"
	out := f.append(s, submission(c, a, "between"), s, other, s)
	f.equal("verdicts", []chat.Verdict{out[0].Verdict, out[2].Verdict, out[4].Verdict},
		[]chat.Verdict{chat.Stored, chat.Duplicate, chat.Duplicate})
	f.equal("the same message", []chat.Message{out[2].Message, out[4].Message}, []chat.Message{out[0].Message, out[0].Message})
	if out[3].Refusal == nil || out[3].Refusal.Code != chat.CodeConflict {
		f.Errorf("got %+v, want a conflict", out[3])
	}
	f.equal("history", len(f.history(c, a)), 2)
	f.equal("seq", out[1].Message.Seq, int64(2))
	// A refused send takes its id as well.
	bad := submission(c, a, "")
	good := bad
	good.Body = "good"
	f.equal("refused", codes(f.append(bad, good, bad)), []chat.Code{chat.CodeInvalid, chat.CodeConflict, chat.CodeInvalid})
}

func twiceLater(f *fixture) {
	a, b := f.user(), f.user()
	c := f.group(a, b)
	s := submission(c, a, "once")
	first := f.append(s)[0]
	f.send(c, b, "later")
	for range 2 {
		s.ReceivedAt = ms(0) // set again on its way
		o := f.append(submission(c, b, "new"), s)[1]
		f.equal("outcome", o, chat.Outcome{Verdict: chat.Duplicate, Message: first.Message, Audience: first.Audience})
		f.reopen()
	}
	f.equal("history", len(f.history(c, a)), 4)
}

func duplicateAfterLeaving(f *fixture) {
	a, b := f.user(), f.user()
	c := f.group(a, b)
	s := submission(c, b, "before I go")
	first := f.append(s)[0]
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), c, b, b))
	out := f.append(s, submission(c, b, "after"))
	f.equal("same answer", out[0].Message, first.Message)
	f.equal("verdict", out[0].Verdict, chat.Duplicate)
	f.equal("for those who are in it now", out[0].Audience, chat.Audience{Conversation: c, MembersRev: 3, Members: []chat.UserID{a}})
	if out[1].Refusal == nil || out[1].Refusal.Code != chat.CodeNotFound {
		f.Errorf("got %+v", out[1])
	}
}

func duplicateOfChanged(f *fixture) {
	a := f.user()
	c := f.group(a)
	one, two := submission(c, a, "edited later"), submission(c, a, "deleted later")
	f.append(one, two)
	edited := must[store.Edited](f)(f.s.EditMessage(f.ctx(), c, 1, a, "edited"))
	deleted := must[store.Edited](f)(f.s.DeleteMessage(f.ctx(), c, 2, a))
	out := f.append(one, two)
	f.equal("in their present form", []chat.Message{out[0].Message, out[1].Message}, []chat.Message{edited.Message, deleted.Message})
	f.equal("verdicts", []chat.Verdict{out[0].Verdict, out[1].Verdict}, []chat.Verdict{chat.Duplicate, chat.Duplicate})
	// Other texts are recognized, also that of the edit, and after one more.
	for range 2 {
		other, edit, gone := one, one, two
		other.Body, edit.Body, gone.Body = "another text", "edited", ""
		f.equal("conflicts", codes(f.append(other, edit, gone, one, two)), []chat.Code{chat.CodeConflict, chat.CodeConflict, chat.CodeConflict, "", ""})
		must[store.Edited](f)(f.s.EditMessage(f.ctx(), c, 1, a, "edited again"))
		f.reopen()
	}
}

func conflicts(f *fixture) {
	a, b := f.user(), f.user()
	c, d := f.group(a, b), f.group(a, b)
	f.send(c, a, "first")
	s := submission(c, a, "text")
	f.append(s)
	text, place, reply := s, s, s
	text.Body, place.Conversation, reply.ReplyTo = "another", d, 1
	unknown := s
	unknown.Conversation = 1
	for _, other := range []chat.Submission{text, place, reply, unknown} {
		o := f.append(submission(d, b, "between"), other)[1]
		if o.Refusal == nil || o.Refusal.Code != chat.CodeConflict {
			f.Errorf("%+v: got %+v, want a conflict", other, o)
		}
	}
	f.equal("history", len(f.history(c, a)), 2)
	f.equal("the other conversation", len(f.history(d, a)), 4)
}

func sameIDOfTwo(f *fixture) {
	a, b := f.user(), f.user()
	c := f.group(a, b)
	s, t := submission(c, a, "mine"), submission(c, b, "theirs")
	t.ClientID = s.ClientID
	out := f.append(s, t)
	f.equal("both stored", []chat.Verdict{out[0].Verdict, out[1].Verdict}, []chat.Verdict{chat.Stored, chat.Stored})
	out = f.append(t, s)
	f.equal("each its own", []string{out[0].Message.Body, out[1].Message.Body}, []string{"theirs", "mine"})
}

func manyDuplicates(f *fixture) {
	users := f.users(4)
	c := f.group(users[0], users[1:]...)
	var all []chat.Submission
	stored := 0
	for round := range 12 {
		var batch []chat.Submission
		for i := range 30 {
			if len(all) > 0 && (i*7+round)%3 == 0 {
				batch = append(batch, all[(i*31+round*17)%len(all)])
			} else {
				s := submission(c, users[i%4], fmt.Sprintf("%d.%d", round, i))
				batch, all = append(batch, s), append(all, s)
			}
		}
		for i, o := range f.append(batch...) {
			if o.Refusal != nil || o.Message.Body != batch[i].Body {
				f.Fatalf("got %+v for %+v", o, batch[i])
			}
			if o.Verdict == chat.Stored {
				stored++
				f.equal("seq", o.Message.Seq, int64(stored))
			}
		}
	}
	f.equal("stored", stored, len(all))
	for i, m := range f.history(c, users[0]) {
		if m.ClientID != all[i].ClientID {
			f.Fatalf("message %d is another one", i)
		}
	}
}

func manyConversations(f *fixture) {
	users := f.users(20)
	cs := make([]chat.ConversationID, 30)
	for i := range cs {
		cs[i] = f.group(users[i%20], users...)
	}
	var batch []chat.Submission
	for i := range 200 {
		batch = append(batch, submission(cs[i%30], users[i%20], fmt.Sprint(i)))
	}
	seqs := map[chat.ConversationID]int64{}
	for i, o := range f.append(batch...) {
		seqs[batch[i].Conversation]++
		f.equal("seq", o.Message.Seq, seqs[batch[i].Conversation])
		f.equal("rev", o.Message.Rev, seqs[batch[i].Conversation]+1)
	}
	for _, c := range cs {
		s := f.summary(c, users[0])
		f.equal("head", []int64{s.Seq, s.Rev}, []int64{seqs[c], seqs[c] + 1})
	}
}

func endedContext(f *fixture) {
	a := f.user()
	c := f.group(a)
	ctx, cancel := context.WithCancel(f.ctx())
	cancel()
	if _, err := f.s.Append(ctx, []chat.Submission{submission(c, a, "x")}); err == nil {
		f.Error("an Append with an ended context succeeded")
	}
	if _, err := f.s.History(ctx, c, a, 1, 2, false, 2); err == nil {
		f.Error("a History with an ended context succeeded")
	}
	f.equal("nothing was stored", f.summary(c, a).Seq, int64(0))
}

func findByClientID(f *fixture) {
	a, b := f.user(), f.user()
	c := f.group(a, b)
	mine, theirs := submission(c, a, "mine"), submission(c, b, "theirs")
	theirs.ClientID = mine.ClientID
	out := f.append(mine, theirs)
	key := func(s chat.Submission) store.SendKey { return store.SendKey{Sender: s.Sender, ClientID: s.ClientID} }
	got := must[map[store.SendKey]chat.Earlier](f)(f.s.FindByClientID(f.ctx(), []store.SendKey{key(mine), key(theirs), key(submission(c, a, "never sent"))}))
	f.equal("found", got, map[store.SendKey]chat.Earlier{key(mine): {Message: &out[0].Message}, key(theirs): {Message: &out[1].Message}})
	f.equal("none", len(must[map[store.SendKey]chat.Earlier](f)(f.s.FindByClientID(f.ctx(), nil))), 0)
}

// clockJumps sets the clock of the store back and forth, as far as into other
// months, while it runs and before it starts: messages are stored all the same,
// and are read in their order.
func clockJumps(f *fixture) {
	const day = 24 * time.Hour
	u := f.user()
	old := f.group(u)
	all := map[chat.ConversationID][]chat.Message{}
	send := func(c chat.ConversationID) {
		f.Helper()
		batch := batchOf(c, u, 3)
		for _, o := range f.append(batch...) {
			if o.Verdict != chat.Stored {
				f.Fatalf("not stored: %+v", o)
			}
			all[c] = append(all[c], o.Message)
		}
		for _, o := range f.append(batch...) {
			f.equal("sent again", o.Verdict, chat.Duplicate)
		}
	}
	for i, offset := range []time.Duration{0, -40 * day, 0, 40 * day, 80 * day, 40 * day, -80 * day, 0} {
		f.Clock.Set(offset)
		if i%4 == 3 {
			f.reopen()
		}
		send(f.group(u)) // its first message
		send(old)
	}
	f.reopen()
	for c, want := range all {
		f.equal("history", f.history(c, u), want)
		f.equal("the last page", must[store.HistoryPage](f)(f.s.History(f.ctx(), c, u, 1, 1<<31, true, 2)).Messages, want[len(want)-2:])
		f.equal("changes", f.changes(c, u, 0, 100), want)
		f.equal("last", *f.summary(c, u).Last, want[len(want)-1])
	}
}

package storetest

import (
	"context"
	"fmt"
	"strings"

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
	{name: "what was sent is found by its name", run: sentIsFound},
	{name: "an ended context", run: endedContext},
}

func messagesKept(w *world) {
	a, b := w.user(), w.user()
	c := w.group(a, b)
	bodies := []string{
		"plain", "with 飛脚 and 🏃", strings.Repeat("x", chat.MaxBody), "a\tb\r\nc", `quotes ' " \ %_`, " spaces around ",
	}
	var batch []chat.Submission
	for i, body := range bodies {
		batch = append(batch, submission(c, []chat.UserID{a, b}[i%2], body))
	}
	batch[3].ReplyTo = 1
	batch[5].ReplyTo = 5 // of the same batch
	out := w.append(batch...)
	want := make([]chat.Message, len(out))
	ids := map[chat.MessageID]bool{}
	for i, o := range out {
		w.recent("At", o.Message.At)
		want[i] = chat.Message{
			ID: o.Message.ID, Conversation: c, Seq: int64(i + 1), Rev: int64(i + 2), Sender: batch[i].Sender,
			ClientID: batch[i].ClientID, Body: bodies[i], ReplyTo: batch[i].ReplyTo, At: o.Message.At,
		}
		w.same("outcome", o, chat.Outcome{
			Verdict: chat.Stored, Message: want[i],
			Audience: chat.Audience{Conversation: c, MembersRev: 1, Members: sorted(a, b)},
		})
		ids[o.Message.ID] = true
	}
	w.same("different ids", len(ids), len(bodies))
	for range 2 {
		w.same("history", w.history(c, b), want)
		s := w.summary(c, b)
		w.same("head", []int64{s.Seq, s.Rev, s.MembersRev}, []int64{6, 7, 1})
		w.same("last", *s.Last, want[5])
		w.same("active", s.ActiveAt, want[5].At)
		w.reopen()
	}
	w.same("and on", w.send(c, a, "next").Seq, int64(7))
}

func emptyBatch(w *world) {
	out, err := w.s.Append(w.ctx(), nil)
	w.nothing(err)
	w.same("outcomes", len(out), 0)
}

func refusedSends(w *world) {
	a, stranger := w.user(), w.user()
	c := w.group(a)
	w.send(c, a, "first")
	reply := func(s chat.Submission, to int64) chat.Submission { s.ReplyTo = to; return s }
	for name, t := range map[string]struct {
		in   chat.Submission
		code chat.Code
	}{
		"blank":                 {submission(c, a, " \n"), chat.CodeInvalid},
		"too large":             {submission(c, a, strings.Repeat("x", chat.MaxBody+1)), chat.CodeTooLarge},
		"NUL":                   {submission(c, a, "a\x00b"), chat.CodeInvalid},
		"not UTF-8":             {submission(c, a, "a\xff"), chat.CodeInvalid},
		"reply to the future":   {reply(submission(c, a, "x"), 2), chat.CodeInvalid},
		"reply to below":        {reply(submission(c, a, "x"), -1), chat.CodeInvalid},
		"no member":             {submission(c, stranger, "x"), chat.CodeNotFound},
		"unknown conversation":  {submission(1, a, "x"), chat.CodeNotFound},
		"unknown sender":        {submission(c, 1, "x"), chat.CodeNotFound},
		"of another's direct":   {submission(w.direct(a, w.user()), stranger, "x"), chat.CodeNotFound},
		"unknown and malformed": {submission(1, stranger, ""), chat.CodeNotFound},
	} {
		for range 2 { // the answer stays the same
			o := w.append(t.in)[0]
			if o.Refusal == nil || o.Refusal.Code != t.code || o.Verdict != 0 {
				w.Errorf("%s: got %+v, want %s", name, o, t.code)
			}
			w.same("no message", o.Message, chat.Message{})
			w.same("no audience", o.Audience, chat.Audience{})
		}
	}
	w.same("nothing was stored", w.summary(c, a).Rev, int64(2))
}

func mixedBatch(w *world) {
	a, b, stranger := w.user(), w.user(), w.user()
	c, d := w.group(a, b), w.direct(a, b)
	earlier := submission(c, b, "earlier")
	w.append(earlier)
	out := w.append(
		submission(c, a, "one"), submission(c, stranger, "no"), submission(d, b, "first"), earlier,
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
	w.same("outcomes", got, []string{"1 2 3", "not_found", "1 1 2", "2 1 2", "invalid", "1 3 4", "1 2 3"})
	w.same("in c", len(w.history(c, a)), 3)
	w.same("in d", len(w.history(d, a)), 2)
}

func twiceInBatch(w *world) {
	a := w.user()
	c := w.group(a)
	s := submission(c, a, "once")
	other := s
	other.Body = "another text"
	out := w.append(s, submission(c, a, "between"), s, other, s)
	w.same("verdicts", []chat.Verdict{out[0].Verdict, out[2].Verdict, out[4].Verdict},
		[]chat.Verdict{chat.Stored, chat.Duplicate, chat.Duplicate})
	w.same("the same message", []chat.Message{out[2].Message, out[4].Message}, []chat.Message{out[0].Message, out[0].Message})
	if out[3].Refusal == nil || out[3].Refusal.Code != chat.CodeConflict {
		w.Errorf("got %+v, want a conflict", out[3])
	}
	w.same("history", len(w.history(c, a)), 2)
	w.same("seq", out[1].Message.Seq, int64(2))
	// A refused send does not take its id.
	bad := submission(c, a, "")
	good := bad
	good.Body = "good"
	out = w.append(bad, good, bad)
	w.same("then stored", out[1].Verdict, chat.Stored)
	if out[0].Refusal == nil || out[2].Refusal == nil || out[2].Refusal.Code != chat.CodeConflict {
		w.Errorf("got %+v", out)
	}
}

func twiceLater(w *world) {
	a, b := w.user(), w.user()
	c := w.group(a, b)
	s := submission(c, a, "once")
	first := w.append(s)[0]
	w.send(c, b, "later")
	for range 2 {
		s.ReceivedAt = ms(0) // stamped anew on its way
		o := w.append(submission(c, b, "new"), s)[1]
		w.same("outcome", o, chat.Outcome{Verdict: chat.Duplicate, Message: first.Message, Audience: first.Audience})
		w.reopen()
	}
	w.same("history", len(w.history(c, a)), 4)
}

func duplicateAfterLeaving(w *world) {
	a, b := w.user(), w.user()
	c := w.group(a, b)
	s := submission(c, b, "before I go")
	first := w.append(s)[0]
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), c, b, b))
	out := w.append(s, submission(c, b, "after"))
	w.same("answered alike", out[0].Message, first.Message)
	w.same("verdict", out[0].Verdict, chat.Duplicate)
	w.same("for those who are in it now", out[0].Audience, chat.Audience{Conversation: c, MembersRev: 3, Members: []chat.UserID{a}})
	if out[1].Refusal == nil || out[1].Refusal.Code != chat.CodeNotFound {
		w.Errorf("got %+v", out[1])
	}
}

func duplicateOfChanged(w *world) {
	a := w.user()
	c := w.group(a)
	one, two := submission(c, a, "edited later"), submission(c, a, "deleted later")
	w.append(one, two)
	edited := must[store.Edited](w)(w.s.EditMessage(w.ctx(), c, 1, a, "edited"))
	deleted := must[store.Edited](w)(w.s.DeleteMessage(w.ctx(), c, 2, a))
	out := w.append(one, two)
	w.same("in their present form", []chat.Message{out[0].Message, out[1].Message}, []chat.Message{edited.Message, deleted.Message})
	w.same("verdicts", []chat.Verdict{out[0].Verdict, out[1].Verdict}, []chat.Verdict{chat.Duplicate, chat.Duplicate})
}

func conflicts(w *world) {
	a, b := w.user(), w.user()
	c, d := w.group(a, b), w.group(a, b)
	w.send(c, a, "first")
	s := submission(c, a, "text")
	w.append(s)
	text, place, reply := s, s, s
	text.Body, place.Conversation, reply.ReplyTo = "another", d, 1
	unknown := s
	unknown.Conversation = 1
	for _, other := range []chat.Submission{text, place, reply, unknown} {
		o := w.append(submission(d, b, "between"), other)[1]
		if o.Refusal == nil || o.Refusal.Code != chat.CodeConflict {
			w.Errorf("%+v: got %+v, want a conflict", other, o)
		}
	}
	w.same("history", len(w.history(c, a)), 2)
	w.same("the other conversation", len(w.history(d, a)), 4)
}

func sameIDOfTwo(w *world) {
	a, b := w.user(), w.user()
	c := w.group(a, b)
	s, t := submission(c, a, "mine"), submission(c, b, "theirs")
	t.ClientID = s.ClientID
	out := w.append(s, t)
	w.same("both stored", []chat.Verdict{out[0].Verdict, out[1].Verdict}, []chat.Verdict{chat.Stored, chat.Stored})
	out = w.append(t, s)
	w.same("each its own", []string{out[0].Message.Body, out[1].Message.Body}, []string{"theirs", "mine"})
}

func manyDuplicates(w *world) {
	people := w.users(4)
	c := w.group(people[0], people[1:]...)
	var all []chat.Submission
	stored := 0
	for round := range 12 {
		var batch []chat.Submission
		for i := range 30 {
			if len(all) > 0 && (i*7+round)%3 == 0 {
				batch = append(batch, all[(i*31+round*17)%len(all)])
			} else {
				s := submission(c, people[i%4], fmt.Sprintf("%d.%d", round, i))
				batch, all = append(batch, s), append(all, s)
			}
		}
		for i, o := range w.append(batch...) {
			if o.Refusal != nil || o.Message.Body != batch[i].Body {
				w.Fatalf("got %+v for %+v", o, batch[i])
			}
			if o.Verdict == chat.Stored {
				stored++
				w.same("seq", o.Message.Seq, int64(stored))
			}
		}
	}
	w.same("stored", stored, len(all))
	for i, m := range w.history(c, people[0]) {
		if m.ClientID != all[i].ClientID {
			w.Fatalf("message %d is another one", i)
		}
	}
}

func manyConversations(w *world) {
	people := w.users(20)
	cs := make([]chat.ConversationID, 30)
	for i := range cs {
		cs[i] = w.group(people[i%20], people...)
	}
	var batch []chat.Submission
	for i := range 200 {
		batch = append(batch, submission(cs[i%30], people[i%20], fmt.Sprint(i)))
	}
	seqs := map[chat.ConversationID]int64{}
	for i, o := range w.append(batch...) {
		seqs[batch[i].Conversation]++
		w.same("seq", o.Message.Seq, seqs[batch[i].Conversation])
		w.same("rev", o.Message.Rev, seqs[batch[i].Conversation]+1)
	}
	for _, c := range cs {
		s := w.summary(c, people[0])
		w.same("head", []int64{s.Seq, s.Rev}, []int64{seqs[c], seqs[c] + 1})
	}
}

func endedContext(w *world) {
	a := w.user()
	c := w.group(a)
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	if _, err := w.s.Append(ctx, []chat.Submission{submission(c, a, "x")}); err == nil {
		w.Error("an Append with an ended context succeeded")
	}
	if _, err := w.s.History(ctx, c, a, 1, 2, false, 2); err == nil {
		w.Error("a History with an ended context succeeded")
	}
	w.same("nothing was stored", w.summary(c, a).Seq, int64(0))
}

func sentIsFound(w *world) {
	a, b := w.user(), w.user()
	c := w.group(a, b)
	mine, theirs := submission(c, a, "mine"), submission(c, b, "theirs")
	theirs.ClientID = mine.ClientID
	out := w.append(mine, theirs)
	key := func(s chat.Submission) store.SendKey { return store.SendKey{Sender: s.Sender, ClientID: s.ClientID} }
	got := must[map[store.SendKey]*chat.Message](w)(w.s.FindByClientID(w.ctx(), []store.SendKey{key(mine), key(theirs), key(submission(c, a, "never sent"))}))
	w.same("found", got, map[store.SendKey]*chat.Message{key(mine): &out[0].Message, key(theirs): &out[1].Message})
	w.same("none", len(must[map[store.SendKey]*chat.Message](w)(w.s.FindByClientID(w.ctx(), nil))), 0)
}

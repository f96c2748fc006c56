package storetest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var concurrencyTests = []testCase{
	{name: "one conversation from all sides", run: allSides},
	{name: "the same batch from two workers", run: sameBatchTwice},
	{name: "marks only rise", run: marksRise},
	{name: "readers see whole batches", run: wholeBatches},
}

// parallel runs fn n times at once and waits.
func parallel(w *world, n int, fn func(i int)) {
	w.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

// allSides appends, edits, deletes, renames, adds and removes at once and
// checks that seq and rev came out without a hole.
func allSides(w *world) {
	people := w.users(6)
	owner := people[0]
	c := w.channel(owner, people[1:]...)
	w.sendN(c, owner, 20)
	start := w.summary(c, owner)

	var mu sync.Mutex
	var revs []int64
	changed := func(rev int64) {
		mu.Lock()
		revs = append(revs, rev)
		mu.Unlock()
	}
	const rounds = 12
	newcomers := w.users(rounds)
	parallel(w, 8, func(i int) {
		for r := range rounds {
			var err error
			switch i {
			case 0, 1, 2:
				var out []chat.Outcome
				batch := make([]chat.Submission, 1+r%4)
				for k := range batch {
					batch[k] = submission(c, people[i+1], fmt.Sprintf("from %d, %d.%d", i, r, k))
				}
				out, err = w.s.Append(w.ctx(), batch)
				for _, o := range out {
					if o.Verdict != chat.Stored {
						w.Errorf("not stored: %+v", o)
					}
					changed(o.Message.Rev)
				}
			case 3:
				var e store.Edited
				if e, err = w.s.EditMessage(w.ctx(), c, int64(1+r%10), owner, fmt.Sprintf("edit %d", r)); e.Changed {
					changed(e.Message.Rev)
				}
			case 4:
				var e store.Edited
				if e, err = w.s.DeleteMessage(w.ctx(), c, int64(11+r%10), owner); e.Changed {
					changed(e.Message.Rev)
				}
			case 5:
				var ch store.Change
				if ch, err = w.s.Join(w.ctx(), c, newcomers[r]); ch.Changed {
					changed(ch.Conversation.Rev)
				}
			case 6:
				var ch store.Change
				title := fmt.Sprintf("title %d", r)
				if ch, err = w.s.UpdateConversation(w.ctx(), c, owner, &title, nil); ch.Changed {
					changed(ch.Conversation.Rev)
				}
			case 7:
				var ch store.Change
				if r%2 == 0 {
					ch, err = w.s.AddMembers(w.ctx(), c, owner, []chat.UserID{newcomers[rounds-1]})
				} else {
					ch, err = w.s.RemoveMember(w.ctx(), c, owner, newcomers[rounds-1])
					if chat.CodeOf(err) == chat.CodeNotFound {
						err = nil
					}
				}
				if ch.Changed {
					changed(ch.Conversation.Rev)
				}
			}
			if err != nil {
				w.Error(err)
			}
		}
	})
	end := w.summary(c, owner)
	slices.Sort(revs)
	for i, rev := range revs {
		if rev != start.Rev+int64(i)+1 {
			w.Fatalf("change %d after rev %d has rev %d", i+1, start.Rev, rev)
		}
	}
	w.same("rev", end.Rev, start.Rev+int64(len(revs)))
	all := w.history(c, owner)
	w.same("messages", int64(len(all)), end.Seq)
	next := map[chat.UserID]string{}
	for i, m := range all {
		if m.Seq != int64(i)+1 {
			w.Fatalf("message %d has seq %d", i+1, m.Seq)
		}
		if m.Sender != owner { // one sender's messages keep their order
			if m.Body <= next[m.Sender] && len(m.Body) == len(next[m.Sender]) {
				w.Errorf("%q comes after %q", m.Body, next[m.Sender])
			}
			next[m.Sender] = m.Body
		}
	}
	w.same("members", len(w.members(c)), end.Members)
	w.same("changes", len(must[[]chat.Message](w)(w.s.Changes(w.ctx(), c, owner, 0, 10_000))), len(all))
}

func sameBatchTwice(w *world) {
	people := w.users(3)
	a, b := w.group(people[0], people[1:]...), w.group(people[0], people[1:]...)
	for range 5 {
		var batch []chat.Submission
		for i := range 20 {
			batch = append(batch, submission([]chat.ConversationID{a, b}[i%2], people[i%3], fmt.Sprint(i)))
		}
		results := make([][]chat.Outcome, 4)
		parallel(w, len(results), func(i int) {
			out, err := w.s.Append(w.ctx(), batch)
			if err != nil {
				w.Error(err)
			}
			results[i] = out
		})
		for i := range batch {
			stored := 0
			for _, out := range results {
				if out[i].Verdict == chat.Stored {
					stored++
				} else if out[i].Verdict != chat.Duplicate {
					w.Fatalf("outcome %+v", out[i])
				}
				w.same("answered alike", out[i].Message, results[0][i].Message)
			}
			w.same("stored once", stored, 1)
		}
	}
	w.same("in a", len(w.history(a, people[0])), 50)
	w.same("in b", len(w.history(b, people[0])), 50)
}

func marksRise(w *world) {
	u, other := w.user(), w.user()
	c := w.direct(u, other)
	w.sendN(c, other, 64)
	parallel(w, 16, func(i int) {
		for r := range 4 {
			at := int64(i*4 + r + 1)
			m, _, err := w.s.Mark(w.ctx(), c, u, at, at)
			if err != nil {
				w.Error(err)
			}
			if m.Read < at || m.Received < at {
				w.Errorf("after marking %d the marks are %d and %d", at, m.Read, m.Received)
			}
		}
	})
	w.same("read", w.summary(c, u).Read, int64(64))
}

// wholeBatches reads while batches are stored: a reader sees all of a batch or
// nothing, and the summary agrees with the messages.
func wholeBatches(w *world) {
	u := w.user()
	c := w.group(u)
	const size = 7
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				page, err := w.s.History(w.ctx(), c, u, 1, 1<<31, true, 2*size)
				if err != nil {
					w.Error(err)
					return
				}
				if n := len(page); n > 0 && page[n-1].Seq%size != 0 {
					w.Errorf("a reader saw the conversation end at %d", page[n-1].Seq)
				}
				s, err := w.s.Conversation(w.ctx(), c, u)
				if err != nil || (s.Last != nil && (s.Last.Seq != s.Seq || s.Seq%size != 0)) {
					w.Errorf("summary %+v, error %v", s, err)
				}
			}
		})
	}
	for range 30 {
		w.sendN(c, u, size)
	}
	close(done)
	readers.Wait()
}

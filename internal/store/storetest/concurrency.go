package storetest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var concurrencyTests = []testCase{
	{name: "concurrent changes of one conversation", run: concurrentChanges},
	{name: "the same batch from two workers", run: sameBatchTwice},
	{name: "marks only increase", run: marksIncrease},
	{name: "readers see whole batches", run: wholeBatches},
}

// parallel runs fn n times concurrently and waits.
func parallel(f *fixture, n int, fn func(i int)) {
	f.Helper()
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

// concurrentChanges appends, edits, deletes, renames, adds and removes
// concurrently and checks that seq and rev have no gaps.
func concurrentChanges(f *fixture) {
	users := f.users(6)
	owner := users[0]
	c := f.channel(owner, users[1:]...)
	f.sendN(c, owner, 20)
	start := f.summary(c, owner)

	var mu sync.Mutex
	var revs []int64
	changed := func(rev int64) {
		mu.Lock()
		revs = append(revs, rev)
		mu.Unlock()
	}
	const rounds = 12
	newcomers := f.users(rounds)
	parallel(f, 8, func(i int) {
		for r := range rounds {
			var err error
			switch i {
			case 0, 1, 2:
				var out []chat.Outcome
				batch := make([]chat.Submission, 1+r%4)
				for k := range batch {
					batch[k] = submission(c, users[i+1], fmt.Sprintf("from %d, %d.%d", i, r, k))
				}
				out, err = f.decide(batch)
				for _, o := range out {
					if o.Verdict != chat.Stored {
						f.Errorf("not stored: %+v", o)
					}
					changed(o.Message.Rev)
				}
			case 3:
				var e store.Edited
				if e, err = f.s.EditMessage(f.ctx(), c, int64(1+r%10), owner, fmt.Sprintf("edit %d", r)); e.Changed {
					changed(e.Message.Rev)
				}
			case 4:
				var e store.Edited
				if e, err = f.s.DeleteMessage(f.ctx(), c, int64(11+r%10), owner); e.Changed {
					changed(e.Message.Rev)
				}
			case 5:
				var ch store.Change
				if ch, err = f.s.Join(f.ctx(), c, newcomers[r]); ch.Changed {
					changed(ch.Conversation.Rev)
				}
			case 6:
				var ch store.Change
				title := fmt.Sprintf("title %d", r)
				if ch, err = f.s.UpdateConversation(f.ctx(), c, owner, &title, nil); ch.Changed {
					changed(ch.Conversation.Rev)
				}
			case 7:
				var ch store.Change
				if r%2 == 0 {
					ch, err = f.s.AddMembers(f.ctx(), c, owner, []chat.UserID{newcomers[rounds-1]})
				} else {
					ch, err = f.s.RemoveMember(f.ctx(), c, owner, newcomers[rounds-1])
					if chat.CodeOf(err) == chat.CodeNotFound {
						err = nil
					}
				}
				if ch.Changed {
					changed(ch.Conversation.Rev)
				}
			}
			if err != nil {
				f.Error(err)
			}
		}
	})
	end := f.summary(c, owner)
	slices.Sort(revs)
	for i, rev := range revs {
		if rev != start.Rev+int64(i)+1 {
			f.Fatalf("change %d after rev %d has rev %d", i+1, start.Rev, rev)
		}
	}
	f.equal("rev", end.Rev, start.Rev+int64(len(revs)))
	all := f.history(c, owner)
	f.equal("messages", int64(len(all)), end.Seq)
	next := map[chat.UserID]string{}
	for i, m := range all {
		if m.Seq != int64(i)+1 {
			f.Fatalf("message %d has seq %d", i+1, m.Seq)
		}
		if m.Sender != owner { // one sender's messages keep their order
			if m.Body <= next[m.Sender] && len(m.Body) == len(next[m.Sender]) {
				f.Errorf("%q comes after %q", m.Body, next[m.Sender])
			}
			next[m.Sender] = m.Body
		}
	}
	f.equal("members", len(f.members(c)), end.Members)
	f.equal("changes", len(f.changes(c, owner, 0, 10_000)), len(all))
}

func sameBatchTwice(f *fixture) {
	users := f.users(3)
	a, b := f.group(users[0], users[1:]...), f.group(users[0], users[1:]...)
	for range 5 {
		var batch []chat.Submission
		for i := range 20 {
			batch = append(batch, submission([]chat.ConversationID{a, b}[i%2], users[i%3], fmt.Sprint(i)))
		}
		results := make([][]chat.Outcome, 4)
		parallel(f, len(results), func(i int) {
			out, err := f.decide(batch)
			if err != nil {
				f.Error(err)
			}
			results[i] = out
		})
		for i := range batch {
			stored := 0
			for _, out := range results {
				if out[i].Verdict == chat.Stored {
					stored++
				} else if out[i].Verdict != chat.Duplicate {
					f.Fatalf("outcome %+v", out[i])
				}
				f.equal("same answer", out[i].Message, results[0][i].Message)
			}
			f.equal("stored once", stored, 1)
		}
	}
	f.equal("in a", len(f.history(a, users[0])), 50)
	f.equal("in b", len(f.history(b, users[0])), 50)
}

func marksIncrease(f *fixture) {
	u, other := f.user(), f.user()
	c := f.direct(u, other)
	f.sendN(c, other, 64)
	parallel(f, 16, func(i int) {
		for r := range 4 {
			at := int64(i*4 + r + 1)
			m, _, err := f.s.Mark(f.ctx(), c, u, at, at)
			if err != nil {
				f.Error(err)
			}
			if m.Read < at || m.Received < at {
				f.Errorf("after marking %d the marks are %d and %d", at, m.Read, m.Received)
			}
		}
	})
	f.equal("read", f.summary(c, u).Read, int64(64))
}

// wholeBatches reads while batches are stored: a reader sees all of a batch or
// nothing, and the summary agrees with the messages.
func wholeBatches(f *fixture) {
	u := f.user()
	c := f.group(u)
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
				h, err := f.s.History(f.ctx(), c, u, 1, 1<<31, true, 2*size)
				if err != nil {
					f.Error(err)
					return
				}
				if n := len(h.Messages); n > 0 && (h.Messages[n-1].Seq%size != 0 || h.Head != chat.Head{Seq: h.Messages[n-1].Seq, Rev: h.Messages[n-1].Rev}) {
					f.Errorf("a reader saw the conversation end at %d with the head %+v", h.Messages[n-1].Seq, h.Head)
				}
				s, err := f.s.Conversation(f.ctx(), c, u)
				if err != nil || (s.Last != nil && (s.Last.Seq != s.Seq || s.Seq%size != 0)) {
					f.Errorf("summary %+v, error %v", s, err)
				}
			}
		})
	}
	for range 30 {
		f.sendN(c, u, size)
	}
	close(done)
	readers.Wait()
}

package rabbitmq_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

func submission(conversation chat.ConversationID, n int) chat.Submission {
	var id chat.ClientID
	id[6], id[8] = 0x70, 0x80
	id[0], id[1], id[2], id[3] = byte(conversation), byte(n>>16), byte(n>>8), byte(n)
	return chat.Submission{Sender: 1, Conversation: conversation, ClientID: id, Body: fmt.Sprint(n), ReceivedAt: time.Now()}
}

// traffic publishes numbered messages to conversations until stop is called, each
// again until it is confirmed, and counts them by conversation. It leaves time to
// others: at full speed it would take the processors from a node that starts.
type traffic struct {
	mu      sync.Mutex
	counts  map[chat.ConversationID]int
	last    map[chat.ConversationID]time.Time // of the confirmations
	silence time.Duration                     // the longest time between two, since resetSilence
	stop    chan struct{}
	running sync.WaitGroup
}

func startTraffic(t *testing.T, b broker.Publisher, conversations ...chat.ConversationID) *traffic {
	t.Helper()
	tr := &traffic{counts: map[chat.ConversationID]int{}, last: map[chat.ConversationID]time.Time{}, stop: make(chan struct{})}
	const interval = 10 * time.Millisecond
	for _, id := range conversations {
		tr.running.Go(func() {
			for n := 0; ; {
				select {
				case <-tr.stop:
					return
				case <-time.After(interval):
				}
				answer := make(chan error, 1)
				err := b.Publish(submission(id, n), func(err error) { answer <- err })
				if err == nil {
					err = <-answer
				}
				if err != nil {
					continue // the same one again
				}
				n++
				now := time.Now()
				tr.mu.Lock()
				tr.counts[id] = n
				if last, ok := tr.last[id]; ok {
					tr.silence = max(tr.silence, now.Sub(last))
				}
				tr.last[id] = now
				tr.mu.Unlock()
			}
		})
	}
	return tr
}

// resetSilence returns for how long a conversation had no confirmation, at most,
// since the last call.
func (tr *traffic) resetSilence() (longest time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	longest, tr.silence = tr.silence, 0
	for _, last := range tr.last {
		longest = max(longest, time.Since(last))
	}
	return longest
}

// awaitMore waits until n more messages of each conversation are confirmed.
func (tr *traffic) awaitMore(t *testing.T, what string, n int) {
	t.Helper()
	confirmed := func() map[chat.ConversationID]int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return maps.Clone(tr.counts)
	}
	before := confirmed()
	eventually.Nil(t, what, func() error {
		now := confirmed()
		for id, count := range before {
			if now[id] < count+n {
				return fmt.Errorf("%d of conversation %d", now[id]-count, id)
			}
		}
		return nil
	})
}

// conversations returns n ids, from first on.
func conversations(first chat.ConversationID, n int) []chat.ConversationID {
	ids := make([]chat.ConversationID, n)
	for i := range ids {
		ids[i] = first + chat.ConversationID(i)
	}
	return ids
}

// stopAndCount returns how many messages of each conversation were confirmed.
func (tr *traffic) stopAndCount() map[chat.ConversationID]int {
	close(tr.stop)
	tr.running.Wait()
	return tr.counts
}

// recorder records what workers handled. Like a store it recognizes repetitions,
// and it records what came out of order.
type recorder struct {
	far        time.Duration // that each batch takes besides, as if the store were far away
	mu         sync.Mutex
	next       map[chat.ConversationID]int
	counts     map[string]int
	outOfOrder []string
}

func newRecorder() *recorder {
	return &recorder{next: map[chat.ConversationID]int{}, counts: map[string]int{}}
}

func (r *recorder) handler(worker string) broker.Handler {
	return func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		time.Sleep(r.far)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, d := range batch {
			var n int
			_, _ = fmt.Sscan(d.Body, &n)
			switch next := r.next[d.Conversation]; {
			case n == next:
				r.next[d.Conversation]++
				r.counts[worker]++
			case n > next:
				r.outOfOrder = append(r.outOfOrder, fmt.Sprintf("conversation %d: got %d, want %d", d.Conversation, n, next))
			}
		}
		return make([]*chat.Error, len(batch)), nil
	}
}

// consume runs Consume until stop is called, which waits for its end.
func (r *recorder) consume(ctx context.Context, t *testing.T, name string, b broker.Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Consume(ctx, r.handler(name)); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func (r *recorder) check(t *testing.T, want map[chat.ConversationID]int) {
	t.Helper()
	eventually.Nil(t, "all that was confirmed is handled", func() error {
		r.mu.Lock()
		missing, broken := 0, r.outOfOrder
		for id, n := range want {
			missing += n - min(n, r.next[id])
		}
		r.mu.Unlock()
		if len(broken) > 0 {
			t.Fatalf("out of order: %v", broken[:min(len(broken), 5)])
		}
		if missing > 0 {
			return fmt.Errorf("%d are not", missing)
		}
		return nil
	})
}

// awaitMore waits until n more messages of each conversation are handled.
func (r *recorder) awaitMore(t *testing.T, what string, n int, ids []chat.ConversationID) {
	t.Helper()
	handled := func() map[chat.ConversationID]int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return maps.Clone(r.next)
	}
	before := handled()
	eventually.Nil(t, what, func() error {
		now := handled()
		for _, id := range ids {
			if more := now[id] - before[id]; more < n {
				return fmt.Errorf("%d messages of conversation %d are handled", more, id)
			}
		}
		return nil
	})
}

func (r *recorder) handledBy(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[name]
}

package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// marks stores read and received marks. Marks that arrive while a batch is being
// written are the next batch; for one user and conversation the highest wins. What
// the store could not take is tried again beside those that arrive. Both have a bound:
// clients tell again what their list does not show.
type marks struct {
	g       *Gateway
	arrived *markSet
	failed  *markSet
	failing atomic.Bool // it was logged that marks could not be stored
}

const (
	// markConcurrency is how many marks are written concurrently; the store commits
	// them together.
	markConcurrency = 32
	// maxPendingMarks is how many marks wait at most, of those that have arrived and
	// of those that have failed.
	maxPendingMarks = 100_000
	// markRetryDelay is the time between a failure and the next try.
	markRetryDelay = 2 * time.Second
)

func newMarks(g *Gateway) *marks {
	return &marks{g: g, arrived: newMarkSet(), failed: newMarkSet()}
}

func (m *marks) add(user chat.UserID, f *wire.Mark) {
	m.arrived.add(markKey{user: user, conversation: f.Conversation}, markValue{read: f.Read, received: f.Received})
}

// run stores what arrives.
func (m *marks) run() {
	for m.arrived.wake.Wait(m.g.ctx) {
		m.store(m.arrived.take())
	}
}

// retry stores what has failed.
func (m *marks) retry() {
	for m.failed.wake.Wait(m.g.ctx) {
		sleep(m.g.ctx, markRetryDelay)
		m.store(m.failed.take())
		if m.failed.isEmpty() && m.failing.CompareAndSwap(true, false) {
			m.g.log.Info("the marks that could not be stored have been tried again")
		}
	}
}

// store writes marks. After a failure no other write of the batch begins: most likely
// it would fail alike.
func (m *marks) store(batch map[markKey]markValue) {
	var (
		group     errgroup.Group
		hasFailed atomic.Bool
	)
	group.SetLimit(markConcurrency)
	for key, value := range batch {
		group.Go(func() error {
			if hasFailed.Load() {
				m.failed.add(key, value)
			} else if err := m.write(key, value); err != nil && m.g.ctx.Err() == nil {
				hasFailed.Store(true)
				m.failed.add(key, value)
				if m.failing.CompareAndSwap(false, true) {
					m.g.log.Error("marks could not be stored; they are tried again", "conversation", key.conversation, "error", err)
				}
			}
			return nil
		})
	}
	_ = group.Wait()
}

// write stores one mark. It returns an error if the store may take it later.
func (m *marks) write(key markKey, v markValue) error {
	ctx, cancel := context.WithTimeout(m.g.ctx, callTimeout)
	defer cancel()
	membership, moved, err := m.g.deps.Store.Mark(ctx, key.conversation, key.user, v.read, v.received)
	if code := chat.CodeOf(err); err != nil && (code == "" || code == chat.CodeUnavailable) {
		return err
	}
	if moved {
		m.g.deps.Announcer.Marked(ctx, membership)
	}
	return nil
}

type markKey struct {
	user         chat.UserID
	conversation chat.ConversationID
}

type markValue struct{ read, received int64 }

// markSet holds the marks of a batch to come, at most maxPendingMarks. Any number of
// goroutines may add; wake tells the one that takes.
type markSet struct {
	wake batching.Signal

	mu      sync.Mutex
	pending map[markKey]markValue
}

func newMarkSet() *markSet {
	return &markSet{wake: batching.NewSignal(), pending: map[markKey]markValue{}}
}

func (s *markSet) add(key markKey, v markValue) {
	s.mu.Lock()
	before, isPending := s.pending[key]
	if !isPending && len(s.pending) >= maxPendingMarks {
		// Whichever comes first: most are of whoever has sent the most.
		for other := range s.pending {
			delete(s.pending, other)
			break
		}
	}
	s.pending[key] = markValue{read: max(before.read, v.read), received: max(before.received, v.received)}
	s.mu.Unlock()
	s.wake.Notify()
}

func (s *markSet) take() map[markKey]markValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.pending
	s.pending = map[markKey]markValue{}
	return all
}

func (s *markSet) isEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending) == 0
}

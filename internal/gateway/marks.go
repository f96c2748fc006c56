package gateway

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// marks stores read and received marks. Marks that arrive while a batch is being
// written are the next batch; for one user and conversation the highest wins.
type marks struct {
	g    *Gateway
	wake batching.Signal

	mu      sync.Mutex
	pending map[markKey]markValue
}

type markKey struct {
	user         chat.UserID
	conversation chat.ConversationID
}

type markValue struct{ read, received int64 }

// markConcurrency is how many marks are written concurrently; the store commits
// them together.
const markConcurrency = 32

func newMarks(g *Gateway) *marks {
	return &marks{g: g, wake: batching.NewSignal(), pending: map[markKey]markValue{}}
}

func (m *marks) add(user chat.UserID, f *wire.Mark) {
	key := markKey{user: user, conversation: f.Conversation}
	m.mu.Lock()
	v := m.pending[key]
	m.pending[key] = markValue{read: max(v.read, f.Read), received: max(v.received, f.Received)}
	m.mu.Unlock()
	m.wake.Notify()
}

func (m *marks) run() {
	for m.wake.Wait(m.g.ctx) {
		m.mu.Lock()
		all := m.pending
		m.pending = map[markKey]markValue{}
		m.mu.Unlock()
		var group errgroup.Group
		group.SetLimit(markConcurrency)
		for key, value := range all {
			group.Go(func() error {
				m.write(key, value)
				return nil
			})
		}
		_ = group.Wait()
	}
}

func (m *marks) write(key markKey, v markValue) {
	ctx, cancel := context.WithTimeout(m.g.ctx, callTimeout)
	defer cancel()
	membership, moved, err := m.g.deps.Store.Mark(ctx, key.conversation, key.user, v.read, v.received)
	switch {
	case err == nil && moved:
		m.g.deps.Announcer.Marked(ctx, membership)
	case err != nil && chat.CodeOf(err) == "" && m.g.ctx.Err() == nil:
		m.g.log.Error("a mark could not be stored", "conversation", key.conversation, "error", err)
	}
}

package gateway

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// heartbeats answers pings with the head check of G4. All pings that arrived
// during a look-up are answered by the next one.
type heartbeats struct {
	g     *Gateway
	queue *batching.Queue[*session]
}

const (
	heartbeatBatch   = 1000
	headCheckTimeout = 2 * time.Second
)

func newHeartbeats(g *Gateway) *heartbeats {
	return &heartbeats{g: g, queue: batching.NewQueue[*session]()}
}

func (h *heartbeats) add(s *session) { h.queue.Add(s) }

func (h *heartbeats) run() { h.queue.Run(h.g.ctx, heartbeatBatch, h.answer) }

func (h *heartbeats) answer(ctx context.Context, sessions []*session) {
	users := make([]chat.UserID, 0, len(sessions))
	for _, s := range sessions {
		users = append(users, s.user)
	}
	ctx, cancel := context.WithTimeout(ctx, headCheckTimeout)
	defer cancel()
	heads, err := h.g.deps.Store.Heads(ctx, users)
	if err != nil && h.g.ctx.Err() == nil {
		h.g.log.Error("the head check failed", "users", len(users), "error", err)
	}
	for _, s := range sessions {
		// A user in no conversation has no head; zeros are correct.
		head := heads[s.user]
		s.push(wire.Pong{T: "pong", Conversations: head.Conversations, Sum: head.Sum, Checked: err == nil})
	}
}

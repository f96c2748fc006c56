package gateway

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// pulse answers pings with the head check of G4. All pings that gathered while
// the previous look-up was under way are answered by one.
type pulse struct {
	g       *Gateway
	waiting *batching.Queue[*session]
}

const (
	pulseBatch   = 1000
	pulseTimeout = 2 * time.Second
)

func newPulse(g *Gateway) *pulse { return &pulse{g: g, waiting: batching.NewQueue[*session]()} }

func (p *pulse) add(s *session) { p.waiting.Add(s) }

func (p *pulse) run() { p.waiting.Run(p.g.ctx, pulseBatch, p.answer) }

func (p *pulse) answer(ctx context.Context, sessions []*session) {
	users := make([]chat.UserID, 0, len(sessions))
	for _, s := range sessions {
		users = append(users, s.user)
	}
	ctx, cancel := context.WithTimeout(ctx, pulseTimeout)
	defer cancel()
	heads, err := p.g.parts.Store.Heads(ctx, users)
	if err != nil && p.g.ctx.Err() == nil {
		p.g.log.Error("the head check failed", "users", len(users), "error", err)
	}
	for _, s := range sessions {
		// A user in no conversation has no head; zero is the truth.
		head := heads[s.user]
		s.push(wire.Pong{T: "pong", Conversations: head.Conversations, Sum: head.Sum, Checked: err == nil})
	}
}

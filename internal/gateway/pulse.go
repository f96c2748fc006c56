package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// pulse answers pings with the head check of G4. All pings that gathered while
// the previous look-up was under way are answered by one.
type pulse struct {
	g    *Gateway
	wake chan struct{}

	mu      sync.Mutex
	waiting []*session
}

const (
	pulseBatch   = 1000
	pulseTimeout = 2 * time.Second
)

func newPulse(g *Gateway) *pulse { return &pulse{g: g, wake: make(chan struct{}, 1)} }

func (p *pulse) add(s *session) {
	p.mu.Lock()
	p.waiting = append(p.waiting, s)
	p.mu.Unlock()
	poke(p.wake)
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

func (p *pulse) run() {
	for {
		select {
		case <-p.g.ctx.Done():
			return
		case <-p.wake:
		}
		p.mu.Lock()
		all := p.waiting
		p.waiting = nil
		p.mu.Unlock()
		for len(all) > 0 {
			n := min(len(all), pulseBatch)
			p.answer(all[:n])
			all = all[n:]
		}
	}
}

func (p *pulse) answer(batch []*session) {
	users := make([]chat.UserID, 0, len(batch))
	for _, s := range batch {
		users = append(users, s.user)
	}
	ctx, cancel := context.WithTimeout(p.g.ctx, pulseTimeout)
	defer cancel()
	heads, err := p.g.parts.Store.Heads(ctx, users)
	if err != nil && p.g.ctx.Err() == nil {
		p.g.log.Error("the head check failed", "users", len(users), "error", err)
	}
	for _, s := range batch {
		// A user in no conversation has no head; zero is the truth.
		head := heads[s.user]
		s.push(wire.Pong{T: "pong", Conversations: head.Conversations, Sum: head.Sum, Checked: err == nil})
	}
}

package redispresence

import (
	"context"
	"fmt"
)

// turn waits until nobody else writes down what a user has on a node, so that
// writes arrive in the order in which they are made. Whoever has the turn
// writes what is so by then, not what was when the call began. It ends with
// endTurns.
func (p *Presence) turn(ctx context.Context, at place) error {
	for {
		p.mu.Lock()
		taken := p.turns[at]
		if taken == nil {
			p.turns[at] = make(chan struct{})
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return fmt.Errorf("wait for the call before: %w", ctx.Err())
		}
	}
}

// endTurns lets the next ones write.
func (p *Presence) endTurns(places ...place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range places {
		close(p.turns[at])
		delete(p.turns, at)
	}
}

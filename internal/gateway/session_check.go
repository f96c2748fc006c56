package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Sessions that end through the API are announced on the bus, and their
// connections close at once. Those that end otherwise (an operator's command, an
// expiry, an announcement that was lost) are found by polling: each connection is
// looked at once in sessionCheckSteps steps, however many there are, and few of them
// in one look-up. So a session that has ended is cut off within 10 s.
const (
	sessionCheckInterval = time.Second // from step to step
	sessionCheckSteps    = 8
	sessionCheckBatch    = 1000 // sessions of one look-up
)

// sessionChecks is the order in which sessions are looked at.
type sessionChecks struct {
	hub   *hub
	left  []*session // to be looked at in this round
	steps int        // left in this round
}

// next returns the sessions of the next step.
func (c *sessionChecks) next() []*session {
	if c.steps == 0 {
		c.steps, c.left = sessionCheckSteps, nil
		c.hub.each(func(s *session) { c.left = append(c.left, s) })
	}
	n := min(max((len(c.left)+c.steps-1)/c.steps, sessionCheckBatch), len(c.left))
	step := c.left[:n]
	c.left, c.steps = c.left[n:], c.steps-1
	return step
}

func (g *Gateway) checkSessions() {
	tick := time.NewTicker(sessionCheckInterval)
	defer tick.Stop()
	checks := sessionChecks{hub: g.hub}
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
		for some := range slices.Chunk(checks.next(), sessionCheckBatch) {
			g.closeEnded(some)
		}
	}
}

// closeEnded closes the connections whose sessions have ended. Those that cannot be
// looked up now are looked at in the next round.
func (g *Gateway) closeEnded(sessions []*session) {
	ids := make([]chat.SessionID, len(sessions))
	for i, s := range sessions {
		ids[i] = s.id
	}
	ctx, cancel := context.WithTimeout(g.ctx, callTimeout)
	defer cancel()
	ended, err := g.deps.Store.EndedSessions(ctx, ids)
	if err != nil {
		if g.ctx.Err() == nil {
			g.log.Error("sessions could not be looked up", "sessions", len(ids), "error", err)
		}
		return
	}
	if len(ended) == 0 {
		return
	}
	slices.Sort(ended)
	for _, s := range sessions {
		if _, has := slices.BinarySearch(ended, s.id); has {
			s.conn.Close(wire.CloseRevoked, "the session has ended")
		}
	}
}

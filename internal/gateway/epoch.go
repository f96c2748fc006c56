package gateway

import "github.com/hikyaku-chat/hikyaku/internal/wire"

// newEpochReason is why a connection is closed whose hello told of an earlier
// epoch.
const newEpochReason = "another epoch has begun; connect again"

// watchEpoch has every client connect again when another epoch begins: hello tells
// them of it. What a connection was told before, and what the gateway has cached,
// is of a history that may have gone back. changed is closed when the current
// epoch ends.
func (g *Gateway) watchEpoch(changed <-chan struct{}) {
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-changed:
		}
		// The channel first: an epoch that begins now is not passed by.
		_, changed = g.deps.Store.Epoch()
		g.log.Warn("another epoch has begun; all clients are asked to connect again", "connections", g.hub.numSessions())
		g.departures.reset()
		g.members.invalidateAll()
		var told []*session
		g.hub.each(func(s *session) {
			g.sayGoodbye(s)
			told = append(told, s)
		})
		sleep(g.ctx, g.cfg.GoodbyeSpread+goodbyeGrace)
		for _, s := range told {
			s.conn.Close(wire.CloseGoodbye, newEpochReason) // of those that are still there
		}
	}
}

package gateway

import (
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// subscriber receives the gateway's envelopes from the bus.
type subscriber Gateway

// Deliver implements [pubsub.Subscriber].
func (sub *subscriber) Deliver(e *pubsub.Envelope) {
	g := (*Gateway)(sub)
	for i := range e.Items {
		item := &e.Items[i]
		switch {
		case item.Push != nil:
			frame := websocket.NewFrame(item.Push.Frame)
			for _, user := range item.Push.Users {
				for _, s := range g.hub.sessionsOf(user) {
					s.conn.Send(frame)
				}
			}
		case item.Room != nil:
			g.members.deliver(item.Room)
		case item.Membership != nil:
			g.members.changed(item.Membership)
			g.watches.membersLeft(item.Membership.Left)
		case item.Revoked != nil:
			for _, s := range g.hub.sessionsOf(item.Revoked.User) {
				if slices.Contains(item.Revoked.Sessions, s.id) {
					s.conn.Close(wire.CloseRevoked, "the session was ended")
				}
			}
		case item.Presence != nil:
			g.watches.changed(item.Presence)
		}
	}
}

// Gap implements [pubsub.Subscriber]. Envelopes were lost, so cached state may
// be stale and clients may have missed frames.
func (sub *subscriber) Gap() {
	g := (*Gateway)(sub)
	g.log.Warn("pub/sub messages were lost; all clients are asked to resync")
	g.members.invalidateAll()
	g.watches.refreshAll()
	g.resyncs.Notify()
}

// Interrupted implements [pubsub.Subscriber].
func (sub *subscriber) Interrupted(interrupted bool) { (*Gateway)(sub).interrupted.Store(interrupted) }

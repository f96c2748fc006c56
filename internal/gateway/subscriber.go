package gateway

import (
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// subscriber is the gateway's end of the bus.
type subscriber Gateway

// Deliver implements bus.Subscriber.
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
			g.members.invalidate(item.Membership.Conversation, item.Membership.MembersRev)
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

// Gap implements bus.Subscriber: what this gateway believes may be old, and
// what its clients have seen may have holes.
func (sub *subscriber) Gap() {
	g := (*Gateway)(sub)
	g.log.Warn("the bus lost something; all clients are told to catch up")
	g.members.invalidateAll()
	g.watches.refreshAll()
	g.resyncAll()
}

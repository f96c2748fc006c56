package gateway

import (
	"slices"
	"time"

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
			g.push(item.Push)
		case item.Room != nil:
			g.members.deliver(item.Room.Conversation, delivery{rev: item.Room.MembersRev, frame: item.Room.Frame})
		case item.Membership != nil:
			g.departures.add(item.Membership, time.Now())
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

// push hands a frame to its users, but not to those who have left its conversation
// since it was sent (G7).
func (g *Gateway) push(p *pubsub.Push) {
	var left []departure
	if p.Conversation != 0 {
		var certain bool
		if left, certain = g.departures.of(p.Conversation); !certain {
			g.members.deliver(p.Conversation, delivery{rev: p.MembersRev, to: p.Users, frame: p.Frame})
			return
		}
	}
	frame := websocket.NewFrame(p.Frame)
	for _, user := range p.Users {
		if len(left) > 0 && hasLeft(left, user, p.MembersRev) {
			continue
		}
		for _, s := range g.hub.sessionsOf(user) {
			s.conn.Send(frame)
		}
	}
}

// Gap implements [pubsub.Subscriber]. Envelopes were lost, so cached state may
// be stale and clients may have missed frames.
func (sub *subscriber) Gap() {
	g := (*Gateway)(sub)
	g.log.Warn("pub/sub messages were lost; all clients are asked to resync")
	g.departures.lost(time.Now())
	g.members.invalidateAll()
	g.watches.refreshAll()
	g.resyncs.Notify()
}

// Interrupted implements [pubsub.Subscriber].
func (sub *subscriber) Interrupted(interrupted bool) { (*Gateway)(sub).interrupted.Store(interrupted) }

// Package pubsub is the port that carries what happened from workers, the API and
// gateways to the gateways that hold the sockets. Loss is expected of it, and
// noticed: envelopes are numbered, and a subscriber is told when it may have
// missed some, so that its clients ask for what they lack (G4). The local bus
// lives in the process; Redis Pub/Sub serves a cluster. Both pass pubsubtest.
//
// # The promises of a bus
//
//   - Envelopes from one publisher to one node arrive in the order of Publish,
//     or not at all.
//   - A gap is reported to the subscriber's Gap within [GapLatency] of the
//     path's return, also when the lost envelope was the last one.
//   - Publish never waits for a slow subscriber.
//   - Envelopes may be shared between subscribers: nobody changes them.
package pubsub

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// GapLatency bounds the time until a subscriber knows of a loss.
const GapLatency = 2 * time.Second

// Envelope is what one publisher sends to one node, or to all, at once.
type Envelope struct {
	Items []Item
}

// Item is one thing that happened; exactly one field is set.
type Item struct {
	Push       *Push
	Room       *Room
	Membership *Membership
	Revoked    *Revoked
	Presence   *Presence
}

// Push is a frame for people: every socket of theirs on the node gets it.
type Push struct {
	Users []chat.UserID
	Frame []byte // JSON, not to be changed
}

// Room is a frame for all members of a large conversation. MembersRev tells
// the gateway which membership it is for: it loads that one before it delivers
// when the one that it holds is older (G7).
type Room struct {
	Conversation chat.ConversationID
	MembersRev   int64
	Frame        []byte
}

// Membership says that the members of a conversation changed.
type Membership struct {
	Conversation chat.ConversationID
	MembersRev   int64
	Left         []chat.UserID
}

// Revoked says that sessions were ended: their sockets must close.
type Revoked struct {
	User     chat.UserID
	Sessions []chat.SessionID
}

// Presence says how people can be reached now.
type Presence struct {
	User     chat.UserID
	State    chat.Presence
	LastSeen time.Time
}

// Subscriber is a gateway's end. Its methods are called one at a time and must
// not block for long.
type Subscriber interface {
	Deliver(e *Envelope)
	// Gap says that envelopes may have been lost since the last call.
	Gap()
}

// Bus is both ends.
type Bus interface {
	// Publish sends e to one node. An error means that it may be lost; the
	// node will notice.
	Publish(ctx context.Context, node string, e *Envelope) error
	// Broadcast sends e to all nodes.
	Broadcast(ctx context.Context, e *Envelope) error
	// Subscribe attaches the node until cancel is called, which returns when
	// no call of s is in flight any more.
	Subscribe(ctx context.Context, node string, s Subscriber) (cancel func(), err error)
	Close() error
}

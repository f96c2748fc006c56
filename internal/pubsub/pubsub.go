// Package pubsub is the port that carries events from workers, the API and
// gateways to the gateways that have the connections. Envelopes can be lost, and
// losses are detected: envelopes are numbered, and a subscriber is notified when
// it may have missed some, so that its clients request what they miss (G4).
// Package localpubsub works in one process, package redispubsub in a cluster.
// Both pass pubsubtest.
//
// # Guarantees
//
//   - Envelopes from one publisher to one node arrive in the order of Publish,
//     or not at all.
//   - Envelopes for all nodes arrive before those for one node that wait at the
//     node for its subscriber, however many these are: who has been removed gets
//     nothing of what waits (G7).
//   - The items of an envelope arrive in their order. A large envelope may arrive
//     as several, which may be lost one by one.
//   - A gap is reported to the subscriber's Gap within [GapLatency] after the
//     connection works again, even when the lost envelope was the last one.
//   - While the connection does not work, the subscriber knows that after
//     [InterruptionLatency].
//   - Publish never waits for a slow subscriber.
//   - Envelopes may be shared between subscribers: nobody may change them.
package pubsub

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// GapLatency is the maximum time until a subscriber is notified of a loss.
const GapLatency = 2 * time.Second

// InterruptionLatency is the maximum time until a subscriber is notified of an
// interruption, in a process that gets to run.
const InterruptionLatency = 2 * time.Second

// Envelope is a message from one publisher to one node, or to all.
type Envelope struct {
	Items []Item
}

// Item is one event; exactly one field is set.
type Item struct {
	Push       *Push
	Room       *Room
	Membership *Membership
	Revoked    *Revoked
	Presence   *Presence
}

// Push is a frame for users: every connection of theirs on the node gets it.
//
// One with the content of a conversation names it, and the MembersRev of the
// membership that Users are from: a gateway that knows that one of them has left
// since does not deliver it to them, however late it arrives (G7). Conversation is
// 0 in a push that users get whether they are members or not, and in one of a
// process that does not know these fields yet.
type Push struct {
	Users        []chat.UserID
	Conversation chat.ConversationID
	MembersRev   int64
	Frame        []byte // JSON, not to be changed
}

// Room is a frame for all members of a large conversation. MembersRev says which
// membership it is for: a gateway whose cached membership is older loads that one
// before it delivers the frame (G7).
type Room struct {
	Conversation chat.ConversationID
	MembersRev   int64
	Frame        []byte
}

// Membership says that the members of a conversation changed. A gateway whose
// list of the members is of MembersRevBefore has that of MembersRev when it applies
// Joined and Left; any older list is of no use any more.
type Membership struct {
	Conversation chat.ConversationID
	MembersRev   int64
	// MembersRevBefore is 0 when the change cannot be applied, because Joined
	// is not complete; Left always is.
	MembersRevBefore int64
	Joined           []chat.UserID
	Left             []chat.UserID
}

// Revoked says that sessions were ended: their connections must be closed.
type Revoked struct {
	User     chat.UserID
	Sessions []chat.SessionID
}

// Presence is the new presence of a user.
type Presence struct {
	User     chat.UserID
	State    chat.Presence
	LastSeen time.Time
}

// Subscriber receives envelopes; gateways implement it. Its methods are called one
// at a time and must not block for long.
type Subscriber interface {
	Deliver(e *Envelope)
	// Gap says that envelopes may have been lost since the last call.
	Gap()
	// Interrupted says that envelopes do not arrive, or that they do again. Gap
	// is called with it.
	Interrupted(interrupted bool)
}

// Bus publishes envelopes and subscribes to them.
type Bus interface {
	// Publish sends e to one node. An error means that it may be lost; the
	// node will be notified of the gap.
	Publish(ctx context.Context, node string, e *Envelope) error
	// Broadcast sends e to all nodes.
	Broadcast(ctx context.Context, e *Envelope) error
	// Subscribe subscribes the node until cancel is called. cancel returns when
	// no call of s is in progress any more.
	Subscribe(ctx context.Context, node string, s Subscriber) (cancel func(), err error)
	Close() error
}

// Package target defines what the load tool needs from a chat system. There is
// a driver for each system below; the scenarios and checks use only this
// contract.
package target

import (
	"context"
	"time"
)

// Plan is who sends where in a run.
type Plan struct {
	Run   string  // name of the run: lower-case letters and digits
	Users int     // numbered from 0
	Rooms [][]int // the users in each conversation; two make it a direct conversation
}

// Target is a chat system.
type Target interface {
	// Name is the name of the system in reports, such as hikyaku.
	Name() string
	// Prepare creates the users and conversations of a plan.
	Prepare(ctx context.Context, p Plan) (Site, error)
}

// Site is a prepared plan. Its methods may be called concurrently.
type Site interface {
	// Connect opens a connection of a user. Events are passed to on, in order
	// and by one goroutine, already before Connect returns.
	Connect(ctx context.Context, user int, on Listener) (Conn, error)
	// Version returns the version that the system reports once a user is
	// connected; empty when it reports none.
	Version() string
	// Echoes reports whether a sender's own device receives the messages that
	// it sends to a room, as every other device does.
	Echoes(room int) bool
	// History returns the stored messages of a conversation, in order: nil if
	// the system cannot return them, an empty slice if nothing is stored.
	History(ctx context.Context, room int) ([]Message, error)
}

// Conn is a connection.
type Conn interface {
	// Send sends a text to a conversation. n is the sender's own number for it,
	// which the answer carries; each number is used once. Send returns when the
	// text is written, and may block while the network accepts nothing. Only
	// one goroutine at a time may call it. When it fails the connection has
	// ended, and Ended receives the reason.
	Send(room, n int, text []byte) error
	// Close closes the connection properly. When it returns Ended has returned,
	// which was called with nil unless the connection had ended before, and
	// nothing of the connection runs any more. It must not be called from a
	// Listener. Every connection must be closed, also one that has ended.
	Close()
}

// Disconnecter is a Conn that can be broken off.
type Disconnecter interface {
	// Disconnect is Close without a close handshake, as a lost network is.
	Disconnect()
}

// Waiter is a Site that shares goroutines among its connections.
type Waiter interface {
	// Wait waits until they have ended, once all connections are closed. No
	// connection may be opened meanwhile.
	Wait()
}

// Reconnecter is a Site whose users can connect again after a lost connection;
// each of its Conns is a Disconnecter.
type Reconnecter interface {
	// Reconnect connects a user again whose connection was lost. What the user
	// missed is passed to on before it returns, each message once, and in the
	// order of its conversation; new messages follow.
	Reconnect(ctx context.Context, user int, on Listener) (Conn, error)
}

// Repairer is a Site that counts the messages that its users had to request,
// because a push was missing or out of order.
type Repairer interface {
	Repaired() int64
}

// ActionSite is a Site whose users do more than send messages.
type ActionSite interface {
	// Actions returns what users can do besides, such as scroll back.
	Actions() []Action
}

// Action is something that a user does in one of their conversations. Do
// returns when it is done.
type Action struct {
	Name string // such as scroll
	Do   func(ctx context.Context, user, room int) error
}

// Message is a text in a history. Seq is 0 where the system has no sequence
// numbers.
type Message struct {
	Seq  int64
	Text string
}

// Listener receives the events of a connection.
type Listener interface {
	// Answered is called with the answer to a text that this connection sent.
	Answered(n int, a Answer)
	// Received is called for each text that arrives, including one's own where
	// the system echoes. text is only valid during the call.
	Received(room int, seq int64, text []byte)
	// Ended is the last call for a connection that Connect returned. err is nil
	// if the connection was closed on purpose.
	Ended(err error)
}

// Answer is a system's answer to a text.
type Answer struct {
	Kind       Kind
	RetryAfter time.Duration // for a temporary refusal: when to retry
	Text       string        // for a refusal: the reason
}

// Kind is the kind of an answer.
type Kind int

// The kinds.
const (
	Accepted Kind = iota // the system promised to keep it
	Refused              // nothing is promised
	Failed               // it was accepted and could not be kept
)

// Package target says what the load tool needs of a chat system. A driver for
// each system is below; the scenarios and checks know this contract alone.
package target

import (
	"context"
	"time"
)

// Plan is who talks where in a run.
type Plan struct {
	Run   string  // names the run: lower-case letters and digits
	Users int     // numbered from 0
	Rooms [][]int // the persons in each conversation; a pair is a direct conversation
}

// Target is a chat system.
type Target interface {
	// Name is what reports call the system, such as hikyaku.
	Name() string
	// Prepare makes the people and conversations of a plan.
	Prepare(ctx context.Context, p Plan) (Site, error)
}

// Site is what was prepared. Its methods may be called concurrently.
type Site interface {
	// Connect opens a connection of a person. What it hears is told to on, in
	// order, from one goroutine, from before it returns on.
	Connect(ctx context.Context, person int, on Listener) (Conn, error)
	// Version is what the system says of itself once somebody is connected;
	// empty when it says nothing.
	Version() string
	// Echoes tells whether a sender's own device receives what was said in a
	// conversation, like everybody else's.
	Echoes(room int) bool
	// History is what is stored of a conversation, in its order. A system that
	// cannot tell returns nil; one that stored nothing, an empty one.
	History(ctx context.Context, room int) ([]Message, error)
}

// Conn is a connection.
type Conn interface {
	// Send sends a text to a conversation. n is the sender's own number for
	// it, by which the answer comes; no number is used twice. It returns when
	// the text is on its way, and may wait while the network takes nothing.
	// Only one goroutine at a time may call it. When it fails the connection
	// has ended, and Ended is told why.
	Send(room, n int, text []byte) error
	// Close ends the connection as the system wishes it; Ended is told nil.
	Close()
}

// Disconnecter is a Conn that can be lost.
type Disconnecter interface {
	// Cut breaks the connection off without a word, as a network does that is
	// lost; Ended is told nil.
	Cut()
}

// Reconnecter is a Site whose people can come back after a loss; each Conn of it
// is a Cutter.
type Reconnecter interface {
	// Return connects a person again whose connection was lost. What the
	// person missed is told to on before it returns, each message once, and in
	// the order of its conversation; what comes from then on follows.
	Return(ctx context.Context, person int, on Listener) (Conn, error)
}

// Repairer is a Site that tells how many messages its people had to ask for,
// because a push did not come, or came out of order.
type Repairer interface {
	Repaired() int64
}

// ActionSite is a Site whose people do more than to talk.
type ActionSite interface {
	// Acts are what they can do besides, such as to scroll back.
	Acts() []Action
}

// Action is something that a person does in a conversation that they are in. Do
// returns when it is done.
type Action struct {
	Name string // such as scroll
	Do   func(ctx context.Context, person, room int) error
}

// Message is a text in a history. Seq is 0 where the system numbers nothing.
type Message struct {
	Seq  int64
	Text string
}

// Listener hears what happens on a connection.
type Listener interface {
	// Answered is the fate of a text that this connection sent.
	Answered(n int, a Answer)
	// Received is a text that came, from others, or from oneself where the
	// system echoes; it is only valid during the call.
	Received(room int, seq int64, text []byte)
	// Ended is the last call, of a connection that was made. err is nil when
	// it was wished for.
	Ended(err error)
}

// Answer is what a system says to a text.
type Answer struct {
	Kind       Kind
	RetryAfter time.Duration // of a refusal for now: when to come again
	Text       string        // of a refusal: why
}

// Kind is the kind of an answer.
type Kind int

// The kinds.
const (
	Accepted Kind = iota // it is kept, whatever happens
	Refused              // nothing is promised
	Failed               // it was accepted and could not be kept after all
)

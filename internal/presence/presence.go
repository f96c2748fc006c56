// Package presence is the port that knows where people are: which nodes hold
// sockets of a user, and whether the user is online, away or gone. It holds
// nothing that cannot be rebuilt from the sockets. The local one lives in the
// process; Redis serves a cluster. Both pass presencetest.
package presence

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Device is one socket of a user on a node.
type Device struct {
	User chat.UserID
	Node string
	ID   int64 // unique on the node
}

// State is how a person can be reached.
type State struct {
	User     chat.UserID
	Presence chat.Presence
	LastSeen time.Time // when the last device went; zero unless offline, or unknown
}

// Presence keeps where people are. All methods may be called concurrently.
type Presence interface {
	// Attach adds a device that is not away. Calls that change how the user
	// can be reached return the new state and true.
	Attach(ctx context.Context, d Device) (s State, changed bool, err error)
	// SetAway says whether the person has left the device alone.
	SetAway(ctx context.Context, d Device, away bool) (s State, changed bool, err error)
	// Detach removes a device; one that is unknown is no error.
	Detach(ctx context.Context, d Device) (s State, changed bool, err error)
	// NodesOf gives for each user, at the same index, the nodes that hold
	// devices of theirs; none when offline. With an error it gives those that
	// could be found, and [Unknown] tells of whom too little is known. It
	// keeps to the deadline of ctx, but for some 50 ms.
	NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error)
	// States gives for each user, at the same index, how they can be reached.
	States(ctx context.Context, users []chat.UserID) ([]State, error)
}

// PartialError is the error of a look-up that found out about some people and
// not about others.
type PartialError struct {
	Unknown []bool // for each who was asked for, at the same index: it may lack some of their nodes
	Err     error
}

func (e *PartialError) Error() string { return "not everybody is found: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// Unknown tells of whom too little is known after Where was asked for n people
// and gave err: who is not found may be somewhere all the same.
func Unknown(err error, n int) []bool {
	out := make([]bool, n)
	var partial *PartialError
	switch {
	case err == nil:
	case errors.As(err, &partial) && len(partial.Unknown) == n:
		copy(out, partial.Unknown)
	default:
		for i := range out {
			out[i] = true
		}
	}
	return out
}

// Package presence is the port for presence: which nodes have connections of a
// user, and whether the user is online, away or offline. Its data can be rebuilt
// from the connections at any time. Package localpresence keeps it in the
// process, package redispresence in Redis, for a cluster. Both pass presencetest.
package presence

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Device is one connection of a user on a node.
type Device struct {
	User chat.UserID
	Node string
	ID   int64 // unique on the node
}

// State is a user's presence.
type State struct {
	User     chat.UserID
	Presence chat.Presence
	LastSeen time.Time // when the last device disconnected; zero unless offline, or when unknown
}

// Presence stores the devices of users. All methods may be called concurrently.
type Presence interface {
	// Attach adds a device that is not away. Calls that change the user's
	// presence return the new state and true.
	Attach(ctx context.Context, d Device) (s State, changed bool, err error)
	// SetAway sets whether the device is away, that is, unattended.
	SetAway(ctx context.Context, d Device, away bool) (s State, changed bool, err error)
	// Detach removes a device; an unknown device is no error.
	Detach(ctx context.Context, d Device) (s State, changed bool, err error)
	// NodesOf returns for each user, at the same index, the nodes that have
	// devices of the user; none when offline. With an error it returns those that
	// were found, and [Unknown] says for which users the result may be
	// incomplete. It may exceed the deadline of ctx by about 50 ms.
	NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error)
	// States returns for each user, at the same index, the presence. With an error
	// it returns what is known, and [Unknown] says of which users that is nothing:
	// they may be online although the state says offline.
	States(ctx context.Context, users []chat.UserID) ([]State, error)
}

// PartialError is the error of a lookup that succeeded for some users and failed
// for others.
type PartialError struct {
	Unknown []bool // for each requested user, at the same index: the result may be incomplete
	Err     error
}

func (e *PartialError) Error() string { return "the lookup is incomplete: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// Unknown reports, at the index of each of n users, whether the result of
// [Presence.NodesOf] or [Presence.States] may be incomplete for the user, given the
// error that it returned: such a user may be online although no node was found.
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

// Package presence is the port that knows where people are: which nodes hold
// sockets of a user, and whether the user is online, away or gone. It holds
// nothing that cannot be rebuilt from the sockets. The local one lives in the
// process; Redis serves a cluster. Both pass presencetest.
package presence

import (
	"context"
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
	// Where gives for each user, at the same index, the nodes that hold
	// devices of theirs; none when offline.
	Where(ctx context.Context, users []chat.UserID) ([][]string, error)
	// States gives for each user, at the same index, how they can be reached.
	States(ctx context.Context, users []chat.UserID) ([]State, error)
}

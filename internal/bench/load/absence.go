package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// ReconnectOptions says how people who were cut off come back.
type ReconnectOptions struct {
	ConnectOptions
	// Spread is the time within which each tries, at a moment of its own.
	Spread time.Duration
}

// All is all people of the crowd.
func (c *VirtualUsers) All() []int {
	all := make([]int, len(c.users))
	for i := range all {
		all[i] = i
	}
	return all
}

// CanReconnect tells whether people can be cut off and come back.
func (c *VirtualUsers) CanReconnect() bool {
	_, ok := c.site.(target.Reconnecter)
	return ok
}

// Disconnect breaks off people's connections, without a word. It returns when all are
// broken.
func (c *VirtualUsers) Disconnect(people []int) {
	c.disconnect(people, func(conn target.Conn) {
		if cutter, ok := conn.(target.Disconnecter); ok {
			cutter.Cut()
			return
		}
		conn.Close()
	})
}

// Reconnect brings people back who were cut off, and has them catch up with what
// they missed. How long each took counts from the call.
func (c *VirtualUsers) Reconnect(ctx context.Context, people []int, o ReconnectOptions) (*ConnectResult, error) {
	returner, ok := c.site.(target.Reconnecter)
	if !ok {
		return nil, errors.New("people of this system cannot come back after a loss")
	}
	wait := make([]time.Duration, len(people))
	for i := range wait {
		if o.Spread > 0 {
			wait[i] = rand.N(o.Spread) + 1
		}
	}
	slices.Sort(wait)
	people = slices.Clone(people)
	rand.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
	return c.connect(ctx, o.ConnectOptions, people, returner.Return, func(i int) time.Duration { return wait[i] }, true)
}

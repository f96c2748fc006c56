package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Returning says how people who were cut off come back.
type Returning struct {
	Opening
	// Spread is the time within which each tries, at a moment of its own.
	Spread time.Duration
}

// Everyone is all people of the crowd.
func (c *VirtualUsers) Everyone() []int {
	all := make([]int, len(c.people))
	for i := range all {
		all[i] = i
	}
	return all
}

// Returns tells whether people can be cut off and come back.
func (c *VirtualUsers) Returns() bool {
	_, ok := c.site.(target.Returner)
	return ok
}

// Cut breaks off people's connections, without a word. It returns when all are
// broken.
func (c *VirtualUsers) Cut(people []int) {
	c.part(people, func(conn target.Conn) {
		if cutter, ok := conn.(target.Cutter); ok {
			cutter.Cut()
			return
		}
		conn.Close()
	})
}

// Return brings people back who were cut off, and has them catch up with what
// they missed. How long each took counts from the call.
func (c *VirtualUsers) Return(ctx context.Context, people []int, o Returning) (*Opened, error) {
	returner, ok := c.site.(target.Returner)
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
	return c.bring(ctx, o.Opening, people, returner.Return, func(i int) time.Duration { return wait[i] }, true)
}

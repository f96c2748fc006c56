// Package backoff is the waiting time between two tries of something that
// fails: it doubles from one failure to the next, up to a maximum, and part of
// it may be random, so that those who failed together do not come back together.
//
// The names are those of github.com/cenkalti/backoff. That package is not used
// because it spreads an interval to both sides, so that MaxInterval is no bound,
// and because its loop owns the operation, where the loops here also have to
// stop for something else than a context, or give up what they were about.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the state of one who tries again. It is not safe for concurrent
// use.
type Backoff struct {
	InitialInterval time.Duration // after the first failure
	MaxInterval     time.Duration // after many
	// Jitter is the part of an interval that is random, from 0 to 1: 0.5 waits
	// for between half and all of it, 1 for anything up to it ("full jitter").
	Jitter float64

	interval time.Duration // the last one, before jitter; 0 after Reset
}

// Next returns how long to wait after one more failure.
func (b *Backoff) Next() time.Duration {
	b.interval = min(max(2*b.interval, b.InitialInterval), b.MaxInterval)
	spread := time.Duration(b.Jitter * float64(b.interval))
	if spread <= 0 {
		return b.interval
	}
	return b.interval - spread + rand.N(spread)
}

// Reset begins anew, after a success.
func (b *Backoff) Reset() { b.interval = 0 }

// Sleep waits for d. It returns the error of ctx when ctx ends before that.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Package backoff is exponential backoff: the interval between two attempts doubles
// with each failure, up to a maximum, and part of it may be random (jitter), so that
// clients that failed together do not retry together.
//
// The names are those of github.com/cenkalti/backoff. That package is not used
// because its jitter extends an interval in both directions, so that MaxInterval is
// not a bound, and because its loop runs the operation, while the loops here also
// have to stop for other reasons than a context, or give up the operation.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the state of the retries of one operation. It is not safe for
// concurrent use.
type Backoff struct {
	InitialInterval time.Duration // after the first failure
	MaxInterval     time.Duration // upper bound of all intervals
	// Jitter is the random part of an interval, from 0 to 1: with 0.5 the wait is
	// between half of the interval and all of it, with 1 anything up to it ("full
	// jitter").
	Jitter float64

	interval time.Duration // the last one, before jitter; 0 after Reset
}

// Next returns how long to wait after another failure.
func (b *Backoff) Next() time.Duration {
	b.interval = min(max(2*b.interval, b.InitialInterval), b.MaxInterval)
	spread := time.Duration(b.Jitter * float64(b.interval))
	if spread <= 0 {
		return b.interval
	}
	return b.interval - spread + rand.N(spread)
}

// Reset starts again with InitialInterval, after a success.
func (b *Backoff) Reset() { b.interval = 0 }

// Sleep blocks for d. It returns the error of ctx when ctx ends before that.
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

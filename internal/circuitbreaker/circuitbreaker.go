// Package circuitbreaker is a circuit breaker for a server that its callers can
// do without for a while. After a failure the server is not called for a short
// time, so that not every caller waits for it. Each outage is logged once.
package circuitbreaker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// Cooldown is how long the server is not called after a failure.
	Cooldown = time.Second
	// recoveryTime is how long the server must have answered without a failure
	// for an outage to be over. A cluster that answers only for some keys is
	// one outage, not many.
	recoveryTime = 10 * time.Second
)

// ErrNoAnswer is returned by [Breaker.Await] when the server was not called, or
// has not answered.
var ErrNoAnswer = errors.New("the server does not answer")

// Breaker is a circuit breaker for one server; see [New]. It is safe for
// concurrent use.
type Breaker struct {
	log                       *slog.Logger
	openMessage, closeMessage string

	mu          sync.Mutex
	retryAt     time.Time // time of the next call; zero after a success
	lastFailure time.Time // time of the last failure
	lastAnswer  time.Time // time of the last success
	open        bool      // an outage was logged, and its end was not
}

// New returns a closed breaker. It logs openMessage as an error when an outage
// begins, and closeMessage when it is over.
func New(log *slog.Logger, openMessage, closeMessage string) *Breaker {
	return &Breaker{log: log, openMessage: openMessage, closeMessage: closeMessage}
}

// Allow reports whether to call the server now. During an outage it allows one
// call per Cooldown, which finds out whether the server answers again; the other
// callers go on without it.
func (b *Breaker) Allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retryAt.IsZero() {
		return true
	}
	if now.Before(b.retryAt) {
		return false
	}
	b.retryAt = now.Add(Cooldown)
	return true
}

// Open reports whether there is an outage, or was one shortly before.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// Failing reports whether the last call failed. Whoever can go on without the
// server then does not wait for it.
func (b *Breaker) Failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.retryAt.IsZero()
}

// Await begins a call, which goes on by itself and records its result, and waits
// for its end. A server that answers nobody for as long as patience hangs: that is
// a failure, and whoever waits for it gets [ErrNoAnswer]. One that is slow is
// waited for until ctx ends.
func (b *Breaker) Await(ctx context.Context, patience time.Duration, begin func() (done <-chan struct{})) error {
	began := time.Now()
	if !b.Allow(began) {
		return ErrNoAnswer
	}
	done := begin()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		left := b.recordSilence(time.Now(), began, patience)
		if left <= 0 {
			return ErrNoAnswer
		}
		timer.Reset(left)
	}
}

// recordSilence records a failure when the server has answered no call for as long
// as patience, with one waiting since began. It returns how long that still takes.
func (b *Breaker) recordSilence(now, began time.Time, patience time.Duration) (left time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lastAnswer.After(began) {
		began = b.lastAnswer
	}
	if left = patience - now.Sub(began); left <= 0 {
		b.recordFailure(now, ErrNoAnswer)
		b.retryAt = now.Add(Cooldown)
	}
	return left
}

// Record records the result of a call.
func (b *Breaker) Record(now time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.lastAnswer = now
	}
	switch {
	case err != nil:
		b.recordFailure(now, err)
		b.retryAt = now.Add(Cooldown)
	case b.open && now.Sub(b.lastFailure) >= recoveryTime:
		b.open = false
		b.log.Info(b.closeMessage)
		fallthrough
	default:
		b.retryAt = time.Time{}
	}
}

// RecordPartial records a call that was answered in time, but not completely.
// The server may be called again at once: that costs no waiting, and part of the
// answer is better than none.
func (b *Breaker) RecordPartial(now time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recordFailure(now, err)
	b.retryAt = time.Time{}
}

// recordFailure logs the begin of an outage. b.mu must be held.
func (b *Breaker) recordFailure(now time.Time, err error) {
	b.lastFailure = now
	if !b.open {
		b.open = true
		b.log.Error(b.openMessage, "error", err)
	}
}

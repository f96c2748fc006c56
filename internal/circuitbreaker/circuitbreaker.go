// Package circuitbreaker is a circuit breaker for a server that its callers can
// do without for a while. After a failure the server is not called for a short
// time, so that not every caller waits for it. Each outage is logged once.
package circuitbreaker

import (
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

// Breaker is a circuit breaker for one server; see [New]. It is safe for
// concurrent use.
type Breaker struct {
	log                       *slog.Logger
	openMessage, closeMessage string

	mu          sync.Mutex
	retryAt     time.Time // time of the next call; zero after a success
	lastFailure time.Time // time of the last failure
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

// Record records the result of a call.
func (b *Breaker) Record(now time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
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

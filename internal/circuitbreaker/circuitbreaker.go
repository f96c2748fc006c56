// Package circuitbreaker knows whether a server answers that its callers can do without
// for a while. One that hangs is left alone for a moment, so that not each of
// them waits for it, and the log tells of an outage once.
package circuitbreaker

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// Pause is how long a server is left alone after it did not answer.
	Cooldown = time.Second
	// calm is how long it must have answered for an outage to be over. A
	// cluster that answers for some keys alone is one outage, not many.
	recoveryTime = 10 * time.Second
)

// Breaker knows whether a server answers; see [New]. It is safe for concurrent
// use.
type Breaker struct {
	log                       *slog.Logger
	openMessage, closeMessage string

	mu          sync.Mutex
	retryAt     time.Time // when to ask again; zero when the last answer came
	lastFailure time.Time // when the last answer was missing
	open        bool      // that there is an outage
}

// New makes one that has seen nothing yet. began and over are what is logged
// when an outage begins, as an error, and when it is over.
func New(log *slog.Logger, began, over string) *Breaker {
	return &Breaker{log: log, openMessage: began, closeMessage: over}
}

// Allow tells whether to ask the server now. While it is away one caller after
// each pause finds out whether it is back, and the others go on without it.
func (o *Breaker) Allow(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.retryAt.IsZero() {
		return true
	}
	if now.Before(o.retryAt) {
		return false
	}
	o.retryAt = now.Add(Cooldown)
	return true
}

// Open tells whether there is an outage, or was a moment ago.
func (o *Breaker) Open() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open
}

// Record takes in how a call went.
func (o *Breaker) Record(now time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil:
		o.recordFailure(now, err)
		o.retryAt = now.Add(Cooldown)
	case o.open && now.Sub(o.lastFailure) >= recoveryTime:
		o.open = false
		o.log.Info(o.closeMessage)
		fallthrough
	default:
		o.retryAt = time.Time{}
	}
}

// RecordPartial takes in a call that had an answer in time, but not a whole one. The
// server may be asked again at once: it costs nothing, and brings the rest.
func (o *Breaker) RecordPartial(now time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recordFailure(now, err)
	o.retryAt = time.Time{}
}

// recordFailure notes when an answer was missing. o.mu is held.
func (o *Breaker) recordFailure(now time.Time, err error) {
	o.lastFailure = now
	if !o.open {
		o.open = true
		o.log.Error(o.openMessage, "error", err)
	}
}

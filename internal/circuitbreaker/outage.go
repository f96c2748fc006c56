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
	calm = 10 * time.Second
)

// Breaker knows whether a server answers; see [New]. It is safe for concurrent
// use.
type Breaker struct {
	log         *slog.Logger
	began, over string

	mu     sync.Mutex
	askAt  time.Time // when to ask again; zero when the last answer came
	lastAt time.Time // when the last answer was missing
	told   bool      // that there is an outage
}

// New makes one that has seen nothing yet. began and over are what is logged
// when an outage begins, as an error, and when it is over.
func New(log *slog.Logger, began, over string) *Breaker {
	return &Breaker{log: log, began: began, over: over}
}

// Allow tells whether to ask the server now. While it is away one caller after
// each pause finds out whether it is back, and the others go on without it.
func (o *Breaker) Allow(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.askAt.IsZero() {
		return true
	}
	if now.Before(o.askAt) {
		return false
	}
	o.askAt = now.Add(Cooldown)
	return true
}

// Open tells whether there is an outage, or was a moment ago.
func (o *Breaker) Open() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told
}

// Record takes in how a call went.
func (o *Breaker) Record(now time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil:
		o.failed(now, err)
		o.askAt = now.Add(Cooldown)
	case o.told && now.Sub(o.lastAt) >= calm:
		o.told = false
		o.log.Info(o.over)
		fallthrough
	default:
		o.askAt = time.Time{}
	}
}

// RecordPartial takes in a call that had an answer in time, but not a whole one. The
// server may be asked again at once: it costs nothing, and brings the rest.
func (o *Breaker) RecordPartial(now time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed(now, err)
	o.askAt = time.Time{}
}

// failed notes when an answer was missing. o.mu is held.
func (o *Breaker) failed(now time.Time, err error) {
	o.lastAt = now
	if !o.told {
		o.told = true
		o.log.Error(o.began, "error", err)
	}
}

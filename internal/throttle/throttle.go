// Package throttle slows down password guessing and limits rates. With a
// [Throttle], failures of a key cause a wait that doubles with each failure, and
// expire after a while. A [Limiter] limits how often each key may do something.
//
// An attempt counts as a failure as soon as it is allowed, not when it has
// failed: checking a password takes long, and concurrent guesses would all be
// allowed meanwhile. When the attempt succeeds, its failure is canceled.
//
// This package works in the memory of one process. Package redisthrottle does the
// same for all processes of an installation.
package throttle

import (
	"context"
	"sync"
	"time"
)

// Config configures a [Throttle]. Zero values mean the defaults.
type Config struct {
	FreeFailures int              // failures without a wait; default 5
	FirstWait    time.Duration    // wait after the first failure beyond these; default 1 s
	MaxWait      time.Duration    // maximum wait; default 5 min
	ForgetAfter  time.Duration    // a key without failures for this long is deleted; default 30 min
	MaxKeys      int              // maximum number of keys in memory; default 100,000
	Now          func() time.Time // time.Now when nil
}

// Throttle counts failures in memory. It is safe for concurrent use.
type Throttle struct {
	cfg Config

	mu   sync.Mutex
	keys map[string]failures
}

type failures struct {
	count    int
	last     time.Time // of the last attempt
	previous time.Time // of the one before it, in case the last is canceled
}

// WithDefaults returns the configuration with the defaults set.
func (c Config) WithDefaults() Config {
	if c.FreeFailures == 0 {
		c.FreeFailures = 5
	}
	if c.FirstWait == 0 {
		c.FirstWait = time.Second
	}
	if c.MaxWait == 0 {
		c.MaxWait = 5 * time.Minute
	}
	if c.ForgetAfter == 0 {
		c.ForgetAfter = 30 * time.Minute
	}
	if c.MaxKeys == 0 {
		c.MaxKeys = 100_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// New returns a throttle without failures.
func New(cfg Config) *Throttle {
	return &Throttle{cfg: cfg.WithDefaults(), keys: map[string]failures{}}
}

// Try counts an attempt for each key and returns 0, or returns how long to wait
// before the next attempt. The keys are checked in the given order. The wait is
// that of the first key that must wait; keys after it are not counted, and those
// before it are canceled. Check and count are atomic, so concurrent attempts are
// allowed no more often than sequential ones.
//
// An allowed attempt counts as a failure until [Throttle.Reset] or
// [Throttle.Cancel].
func (t *Throttle) Try(_ context.Context, keys ...string) (wait time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	for i, key := range keys {
		f, ok := t.lookup(key, now)
		if wait := t.penalty(f.count) - now.Sub(f.last); ok && wait > 0 {
			t.cancel(now, keys[:i])
			return wait, nil
		}
		t.record(now, key)
	}
	return 0, nil
}

// Record counts an attempt for each key, whatever its wait: for callers that check
// elsewhere and keep the count here.
func (t *Throttle) Record(keys ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	for _, key := range keys {
		t.record(now, key)
	}
}

func (t *Throttle) record(now time.Time, key string) {
	f, ok := t.lookup(key, now)
	if !ok && len(t.keys) >= t.cfg.MaxKeys {
		t.evict(now)
	}
	t.keys[key] = failures{count: f.count + 1, last: now, previous: f.last}
}

// lookup returns the failures of a key that have not expired.
func (t *Throttle) lookup(key string, now time.Time) (f failures, ok bool) {
	f, ok = t.keys[key]
	if !ok || now.Sub(f.last) > t.cfg.ForgetAfter {
		return failures{}, false
	}
	return f, true
}

// penalty returns the wait after so many failures.
func (t *Throttle) penalty(count int) time.Duration {
	over := count - t.cfg.FreeFailures
	if over <= 0 {
		return 0
	}
	doublings := min(over-1, 62)
	if t.cfg.FirstWait > t.cfg.MaxWait>>doublings {
		return t.cfg.MaxWait // which First<<doublings may be far above
	}
	return t.cfg.FirstWait << doublings
}

// evict deletes expired keys, or else random keys: an attacker who can fill the
// memory gains little from it.
func (t *Throttle) evict(now time.Time) {
	for key, f := range t.keys {
		if now.Sub(f.last) > t.cfg.ForgetAfter {
			delete(t.keys, key)
		}
	}
	for key := range t.keys {
		if len(t.keys) < t.cfg.MaxKeys {
			return
		}
		delete(t.keys, key)
	}
}

// Reset deletes the failures of the keys, also attempts in progress.
func (t *Throttle) Reset(_ context.Context, keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.keys, key)
	}
	return nil
}

// Cancel cancels one attempt of each key that was allowed and did not fail. The
// waits are then as they were before it; of two concurrent attempts, the time of
// the other one may remain.
func (t *Throttle) Cancel(_ context.Context, keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel(t.cfg.Now(), keys)
	return nil
}

func (t *Throttle) cancel(now time.Time, keys []string) {
	for _, key := range keys {
		f, ok := t.lookup(key, now)
		switch {
		case !ok:
		case f.count == 1:
			delete(t.keys, key)
		default:
			t.keys[key] = failures{count: f.count - 1, last: f.previous, previous: f.previous}
		}
	}
}

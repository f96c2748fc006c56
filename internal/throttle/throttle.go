// Package throttle slows those who guess, and those who do too much. Failures
// under a key cost waiting time that doubles with each, and are forgotten after
// a while; a [Limiter] allows each key so much in a time.
//
// An attempt counts as a failure from when it is let through, and not from when
// it has failed: checking a password takes long, and a volley of guesses would
// be let through whole meanwhile. Whoever turns out to be right has it taken
// back.
//
// What is here holds for one process, in its memory. Package redis below keeps
// the same for all processes of an installation.
package throttle

import (
	"cmp"
	"context"
	"math"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Config is how guessing is slowed. Zero values mean the defaults.
type Config struct {
	Free    int              // failures that cost nothing, from 1; default 5
	First   time.Duration    // wait after the first one that does, 1 ms to 24 h; default 1 s
	Longest time.Duration    // wait at most, 1 ms to 24 h; default 5 min
	Forget  time.Duration    // a key without failures for so long is forgotten, 1 ms to 720 h; default 30 min
	MaxKeys int              // keys remembered, from 1; default 100,000
	Now     func() time.Time // default time.Now
}

// Throttle remembers failures in memory. It is safe for concurrent use.
type Throttle struct {
	cfg Config

	mu   sync.Mutex
	keys map[string]failures
}

type failures struct {
	count  int
	last   time.Time // of the last attempt
	before time.Time // of the one before it, should the last be taken back
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.Free = cmp.Or(c.Free, 5)
	c.First = cmp.Or(c.First, time.Second)
	c.Longest = cmp.Or(c.Longest, 5*time.Minute)
	c.Forget = cmp.Or(c.Forget, 30*time.Minute)
	c.MaxKeys = cmp.Or(c.MaxKeys, 100_000)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate returns the first error of a field; a zero is one.
func (c Config) Validate() error {
	const day = 24 * time.Hour
	return cmp.Or(
		setting.Between("throttle-free", c.Free, 1, math.MaxInt32, "failures that cost nothing, such as 5"),
		setting.Between("throttle-first", c.First, time.Millisecond, day, "the first wait, such as 1s"),
		setting.Between("throttle-longest", c.Longest, time.Millisecond, day, "the longest wait, such as 5m"),
		setting.Between("throttle-forget", c.Forget, time.Millisecond, 30*day, "the time after which failures are forgotten, such as 30m"),
		setting.Between("throttle-max-keys", c.MaxKeys, 1, math.MaxInt32, "keys to remember, such as 100000"),
	)
}

// New makes a throttle that has seen no failures.
func New(cfg Config) (*Throttle, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Throttle{cfg: cfg, keys: map[string]failures{}}, nil
}

// Try counts an attempt under each key, or tells how long to wait before the
// next one. The keys are asked in the order that is given. The wait is that of
// the first that must wait; those behind it are not touched, and what was
// counted before it is taken back. Deciding and counting are one, so that of
// many who try at once no more are let through than of as many one after the
// other.
//
// Whoever is let through has failed until they say otherwise; see
// [Throttle.Succeeded] and [Throttle.Forgive].
func (t *Throttle) Try(_ context.Context, keys ...string) (wait time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	for i, key := range keys {
		f, ok := t.known(key, now)
		if wait := t.penalty(f.count) - now.Sub(f.last); ok && wait > 0 {
			t.forgive(now, keys[:i])
			return wait, nil
		}
		t.count(now, key)
	}
	return 0, nil
}

// Count counts an attempt under each key, however long they must wait: for
// whoever asks elsewhere and remembers here.
func (t *Throttle) Count(keys ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	for _, key := range keys {
		t.count(now, key)
	}
}

func (t *Throttle) count(now time.Time, key string) {
	f, ok := t.known(key, now)
	if !ok && len(t.keys) >= t.cfg.MaxKeys {
		t.makeRoom(now)
	}
	t.keys[key] = failures{count: f.count + 1, last: now, before: f.last}
}

// known is what is remembered of a key.
func (t *Throttle) known(key string, now time.Time) (f failures, ok bool) {
	f, ok = t.keys[key]
	if !ok || now.Sub(f.last) > t.cfg.Forget {
		return failures{}, false
	}
	return f, true
}

func (t *Throttle) penalty(count int) time.Duration {
	over := count - t.cfg.Free
	if over <= 0 {
		return 0
	}
	doublings := min(over-1, 62)
	if t.cfg.First > t.cfg.Longest>>doublings {
		return t.cfg.Longest // which First<<doublings may be far above
	}
	return t.cfg.First << doublings
}

// makeRoom drops what would be forgotten anyway, or else some key: whoever can
// fill the memory gains little from it.
func (t *Throttle) makeRoom(now time.Time) {
	for key, f := range t.keys {
		if now.Sub(f.last) > t.cfg.Forget {
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

// Succeeded forgets the failures under the keys, and the attempts under way.
func (t *Throttle) Succeeded(_ context.Context, keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.keys, key)
	}
	return nil
}

// Forgive takes back one attempt under each key that was let through and did
// not fail. The waits are then as they were before it; of two attempts that
// were under way at once, it may be the time of the other that remains.
func (t *Throttle) Forgive(_ context.Context, keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgive(t.cfg.Now(), keys)
	return nil
}

func (t *Throttle) forgive(now time.Time, keys []string) {
	for _, key := range keys {
		f, ok := t.known(key, now)
		switch {
		case !ok:
		case f.count == 1:
			delete(t.keys, key)
		default:
			t.keys[key] = failures{count: f.count - 1, last: f.before, before: f.before}
		}
	}
}

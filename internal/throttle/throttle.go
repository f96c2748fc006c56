// Package throttle slows those who guess, and those who do too much. Failures
// under a key cost waiting time that doubles with each, and are forgotten after
// a while; a [Limiter] allows each key so much in a time.
package throttle

import (
	"context"
	"sync"
	"time"
)

// Config is how guessing is slowed. Zero values mean the defaults.
type Config struct {
	Free    int              // failures that cost nothing; default 5
	First   time.Duration    // wait after the first one that does; default 1 s
	Longest time.Duration    // wait at most; default 5 min
	Forget  time.Duration    // a key without failures for so long is forgotten; default 30 min
	MaxKeys int              // keys remembered; default 100,000
	Now     func() time.Time // time.Now when nil
}

// Throttle remembers failures in memory. It is safe for concurrent use.
type Throttle struct {
	cfg Config

	mu   sync.Mutex
	keys map[string]failures
}

type failures struct {
	count int
	last  time.Time
}

// New makes a throttle that has seen no failures.
func New(cfg Config) *Throttle {
	if cfg.Free == 0 {
		cfg.Free = 5
	}
	if cfg.First == 0 {
		cfg.First = time.Second
	}
	if cfg.Longest == 0 {
		cfg.Longest = 5 * time.Minute
	}
	if cfg.Forget == 0 {
		cfg.Forget = 30 * time.Minute
	}
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = 100_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Throttle{cfg: cfg, keys: map[string]failures{}}
}

// Wait is how long the keys must wait before they may try again; 0 when they
// may now.
func (t *Throttle) Wait(_ context.Context, keys ...string) (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, longest := t.cfg.Now(), time.Duration(0)
	for _, key := range keys {
		f, ok := t.keys[key]
		if !ok || now.Sub(f.last) > t.cfg.Forget {
			continue
		}
		longest = max(longest, t.penalty(f.count)-now.Sub(f.last))
	}
	return longest, nil
}

func (t *Throttle) penalty(count int) time.Duration {
	over := count - t.cfg.Free
	if over <= 0 {
		return 0
	}
	return min(t.cfg.First<<min(over-1, 30), t.cfg.Longest)
}

// Failed counts a failure under each key.
func (t *Throttle) Failed(_ context.Context, keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	for _, key := range keys {
		f, ok := t.keys[key]
		if !ok && len(t.keys) >= t.cfg.MaxKeys {
			t.makeRoom(now)
		}
		if now.Sub(f.last) > t.cfg.Forget {
			f.count = 0
		}
		t.keys[key] = failures{count: f.count + 1, last: now}
	}
	return nil
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

// Succeeded forgets the failures under the keys.
func (t *Throttle) Succeeded(_ context.Context, keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.keys, key)
	}
	return nil
}

package throttle

import (
	"context"
	"math"
	"sync"
	"time"
)

// Limiter limits the rate of each key with a token bucket. It uses the generic
// cell rate algorithm (GCRA), which stores a single time per key. See the limiter
// of package redisthrottle, which uses the same algorithm. It is safe for
// concurrent use.
type Limiter struct {
	interval time.Duration // for one token
	capacity time.Duration // until an empty bucket is full again
	maxKeys  int
	now      func() time.Time

	mu   sync.Mutex
	keys map[string]time.Time // when the bucket is full again
}

// NewLimiter returns a limiter that allows perSecond in the long run and burst at
// once, for each key. Both must be above 0.
func NewLimiter(perSecond float64, burst int) *Limiter {
	// Rounded up: a nanosecond late is better than a token too many.
	nanos := math.Ceil(float64(time.Second) / perSecond)
	interval := time.Duration(min(nanos, float64(maxInterval/time.Duration(max(burst, 1)))))
	return &Limiter{
		interval: interval, capacity: time.Duration(burst) * interval,
		maxKeys: 100_000, now: time.Now, keys: map[string]time.Time{},
	}
}

// maxInterval avoids overflow of times, for rates near 0.
const maxInterval = 100 * 365 * 24 * time.Hour

// Take takes one token and returns 0, or returns how long to wait before the next
// try.
func (l *Limiter) Take(_ context.Context, key string) (wait time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	full, found := l.keys[key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(l.interval)
	if wait = full.Sub(now) - l.capacity; wait > 0 {
		return wait, nil
	}
	if !found && len(l.keys) >= l.maxKeys {
		l.evict(now)
	}
	l.keys[key] = full
	return 0, nil
}

// evict deletes the keys whose buckets are full, which need no state, or else all
// keys.
func (l *Limiter) evict(now time.Time) {
	for key, full := range l.keys {
		if !full.After(now) {
			delete(l.keys, key)
		}
	}
	if len(l.keys) >= l.maxKeys {
		clear(l.keys)
	}
}

package throttle

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// Limiter lets each key do something so often and no more: a token bucket for
// each, by the generic cell rate algorithm, which remembers a single time of
// it. See the limiter of package redis, which counts alike. It is safe for
// concurrent use.
type Limiter struct {
	interval time.Duration // between turns in the long run
	full     time.Duration // until an empty bucket is full again
	maxKeys  int
	now      func() time.Time

	mu   sync.Mutex
	keys map[string]time.Time // when the bucket is full again
}

// NewLimiter allows perSecond in the long run and burst at once, for each key.
// Both must be above 0.
func NewLimiter(perSecond float64, burst int) (*Limiter, error) {
	if !(perSecond > 0) || burst < 1 { // NaN is not above 0 either
		return nil, fmt.Errorf("rate: a limit of %v in a second and %d at once lets nothing through; give numbers above 0", perSecond, burst)
	}
	// Rounded up: rather a nanosecond late than a turn too many.
	nanos := math.Ceil(float64(time.Second) / perSecond)
	interval := time.Duration(min(nanos, float64(century/time.Duration(burst))))
	return &Limiter{
		interval: interval, full: time.Duration(burst) * interval,
		maxKeys: 100_000, now: time.Now, keys: map[string]time.Time{},
	}, nil
}

// century keeps times within what can be reckoned with, for rates near 0.
const century = 100 * 365 * 24 * time.Hour

// Take takes one turn, or tells how long to wait before the next try.
func (l *Limiter) Take(_ context.Context, key string) (wait time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	full, known := l.keys[key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(l.interval)
	if wait = full.Sub(now) - l.full; wait > 0 {
		return wait, nil
	}
	if !known && len(l.keys) >= l.maxKeys {
		l.makeRoom(now)
	}
	l.keys[key] = full
	return 0, nil
}

// makeRoom drops the keys whose buckets are full again, which have nothing to
// remember, or else all.
func (l *Limiter) makeRoom(now time.Time) {
	for key, full := range l.keys {
		if !full.After(now) {
			delete(l.keys, key)
		}
	}
	if len(l.keys) >= l.maxKeys {
		clear(l.keys)
	}
}

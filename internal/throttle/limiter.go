package throttle

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Limiter lets each key do something so often and no more: a token bucket for
// each, by the generic cell rate algorithm, which remembers a single time of
// it. See the limiter of package redisthrottle, which counts alike. It is safe
// for concurrent use.
type Limiter struct {
	interval time.Duration // between turns in the long run
	full     time.Duration // until an empty bucket is full again
	maxKeys  int
	now      func() time.Time
	epoch    time.Time
	owing    *owing // nil unless there are other processes

	mu   sync.Mutex
	keys map[string]*Bucket
}

// NewLimiter allows perSecond in the long run and burst at once, for each key.
// Both are above 0.
func NewLimiter(perSecond float64, burst int) *Limiter {
	// Rounded up: rather a nanosecond late than a turn too many.
	nanos := math.Ceil(float64(time.Second) / perSecond)
	interval := time.Duration(min(nanos, float64(century/time.Duration(max(burst, 1)))))
	return &Limiter{
		interval: interval, full: time.Duration(burst) * interval,
		maxKeys: 100_000, now: time.Now, epoch: time.Now(), keys: map[string]*Bucket{},
	}
}

// NewReplica is NewLimiter for one process of several that share a limit: what
// its buckets gave is kept for [Limiter.Owing], and what the others gave comes
// in by [Bucket.Adopt].
func NewReplica(perSecond float64, burst int) *Limiter {
	l := NewLimiter(perSecond, burst)
	l.owing = &owing{atLeast: max(int64(burst)/8, 1)}
	return l
}

// century keeps times within what can be reckoned with, for rates near 0.
const century = 100 * 365 * 24 * time.Hour

// Take takes one turn, or tells how long to wait before the next try.
func (l *Limiter) Take(_ context.Context, key string) (wait time.Duration, err error) {
	b := l.Acquire(key)
	defer b.Release()
	return b.Take(), nil
}

// Acquire returns the bucket of a key, which is the same for all who hold it.
// Release it when it is not needed any more.
func (l *Limiter) Acquire(key string) *Bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.keys[key]
	if !ok {
		if len(l.keys) >= l.maxKeys {
			l.makeRoom()
		}
		b = &Bucket{limiter: l, key: key}
		l.keys[key] = b
	}
	b.holders++
	return b
}

// makeRoom drops the buckets that nobody holds and that are full again, which
// have nothing to remember, or else all that nobody holds. l.mu is held.
func (l *Limiter) makeRoom() {
	now := l.sinceEpoch()
	for key, b := range l.keys {
		if b.holders == 0 && b.full.Load() <= now {
			delete(l.keys, key)
		}
	}
	if len(l.keys) < l.maxKeys {
		return
	}
	for key, b := range l.keys {
		if b.holders == 0 {
			delete(l.keys, key)
		}
	}
}

func (l *Limiter) sinceEpoch() int64 { return int64(l.now().Sub(l.epoch)) }

// Bucket is what one key may still do. It is safe for concurrent use, and takes
// no lock.
type Bucket struct {
	limiter *Limiter
	key     string
	holders int          // guarded by limiter.mu
	full    atomic.Int64 // when it is full again, in nanoseconds since the limiter's epoch

	owed   atomic.Int64 // turns that the other processes have not heard of
	listed atomic.Bool  // it is in the list of those that owe
	next   *Bucket      // in that list
}

// Take takes one turn, or returns how long to wait before the next try.
func (b *Bucket) Take() (wait time.Duration) {
	now := b.limiter.sinceEpoch()
	for {
		had := b.full.Load()
		full := max(had, now) + int64(b.limiter.interval)
		if wait := time.Duration(full-now) - b.limiter.full; wait > 0 {
			return wait
		}
		if b.full.CompareAndSwap(had, full) {
			if b.limiter.owing != nil {
				b.limiter.owing.add(b)
			}
			return 0
		}
	}
}

// Release gives the bucket back. What was taken from it is remembered for as
// long as it matters.
func (b *Bucket) Release() {
	l := b.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	b.holders--
	switch {
	case b.holders > 0 || l.keys[b.key] != b:
	case b.owed.Load() > 0:
		l.owing.list(b) // whoever comes and goes owes no less than whoever stays
	case b.full.Load() <= l.sinceEpoch():
		delete(l.keys, b.key)
	}
}

package throttle

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
)

// Limiter limits the rate of each key with a token bucket. It uses the generic
// cell rate algorithm (GCRA), which stores a single time per key. See the limiter
// of package redisthrottle, which uses the same algorithm. It is safe for
// concurrent use.
type Limiter struct {
	interval time.Duration // for one token
	capacity time.Duration // until an empty bucket is full again
	maxKeys  int           // evict when so many are kept; more while most of them are held
	now      func() time.Time
	epoch    time.Time
	unsynced *unsynced // nil unless other processes share the limit

	mu   sync.Mutex
	keys map[string]*Bucket
}

// NewLimiter returns a limiter that allows perSecond in the long run and burst at
// once, for each key. Both must be above 0.
func NewLimiter(perSecond float64, burst int) (*Limiter, error) {
	if !(perSecond > 0) || burst < 1 { // NaN is not above 0 either
		return nil, fmt.Errorf("rate: a limit of %v per second and %d at once allows nothing; give numbers above 0", perSecond, burst)
	}
	// Rounded up: a nanosecond late is better than a token too many.
	nanos := math.Ceil(float64(time.Second) / perSecond)
	interval := time.Duration(min(nanos, float64(maxInterval/time.Duration(burst))))
	return &Limiter{
		interval: interval, capacity: time.Duration(burst) * interval,
		maxKeys: 100_000, now: time.Now, epoch: time.Now(), keys: map[string]*Bucket{},
	}, nil
}

// NewReplica is NewLimiter for one of several processes that share a limit. It
// keeps what its buckets gave for [Limiter.Unsynced]; [Bucket.Merge] adds what the
// other processes gave.
func NewReplica(perSecond float64, burst int) (*Limiter, error) {
	l, err := NewLimiter(perSecond, burst)
	if err != nil {
		return nil, err
	}
	l.unsynced = &unsynced{threshold: max(int64(burst)/8, 1), ready: batching.NewSignal()}
	return l, nil
}

// maxInterval avoids overflow of times, for rates near 0.
const maxInterval = 100 * 365 * 24 * time.Hour

// Take takes one token and returns 0, or returns how long to wait before the next
// try.
func (l *Limiter) Take(_ context.Context, key string) (wait time.Duration, err error) {
	b := l.Acquire(key)
	defer b.Release()
	return b.Take(), nil
}

// Acquire returns the bucket of a key, which all its holders share. The caller
// must release it.
func (l *Limiter) Acquire(key string) *Bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.keys[key]
	if !ok {
		if len(l.keys) >= l.maxKeys {
			l.evict()
		}
		b = &Bucket{limiter: l, key: key}
		l.keys[key] = b
	}
	b.holders++
	return b
}

// evict deletes the buckets without a holder that are full, which need no state,
// or else all without a holder. l.mu must be held.
func (l *Limiter) evict() {
	now := l.sinceEpoch()
	for key, b := range l.keys {
		if b.holders == 0 && b.fullAt.Load() <= now {
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
	// Not with every key from now on, when the rest is held.
	l.maxKeys = max(l.maxKeys, 2*len(l.keys))
}

func (l *Limiter) sinceEpoch() int64 { return int64(l.now().Sub(l.epoch)) }

// Bucket is the token bucket of one key. It is safe for concurrent use; taking a
// token locks and allocates nothing.
type Bucket struct {
	limiter *Limiter
	key     string
	holders int          // guarded by limiter.mu
	fullAt  atomic.Int64 // in nanoseconds since the limiter's epoch

	// Used by replicas; see unsynced.
	tokens atomic.Int64 // taken since they were synchronised last
	listed atomic.Bool
	next   *Bucket
}

// Take takes one token and returns 0, or returns how long to wait before the next
// try.
func (b *Bucket) Take() (wait time.Duration) {
	now := b.limiter.sinceEpoch()
	for {
		old := b.fullAt.Load()
		fullAt := max(old, now) + int64(b.limiter.interval)
		if wait := time.Duration(fullAt-now) - b.limiter.capacity; wait > 0 {
			return wait
		}
		if b.fullAt.CompareAndSwap(old, fullAt) {
			if b.limiter.unsynced != nil {
				b.limiter.unsynced.add(b)
			}
			return 0
		}
	}
}

// UntilFull returns how long the bucket takes to be full again.
func (b *Bucket) UntilFull() time.Duration {
	return time.Duration(max(b.fullAt.Load()-b.limiter.sinceEpoch(), 0))
}

// Release ends the caller's use of the bucket. The limiter keeps its state for as
// long as it matters.
func (b *Bucket) Release() {
	l := b.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	b.holders--
	switch {
	case b.holders > 0 || l.keys[b.key] != b:
	case b.tokens.Load() > 0:
		l.unsynced.list(b) // also below the threshold: who reconnects often must not avoid it
	case b.fullAt.Load() <= l.sinceEpoch():
		delete(l.keys, b.key)
	}
}

package throttle

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter lets each key do something so often and no more (a token bucket for
// each). It is safe for concurrent use.
type Limiter struct {
	perSecond rate.Limit
	burst     int
	maxKeys   int

	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

// NewLimiter allows perSecond in the long run and burst at once, for each key.
func NewLimiter(perSecond float64, burst int) *Limiter {
	return &Limiter{perSecond: rate.Limit(perSecond), burst: burst, maxKeys: 100_000, keys: map[string]*rate.Limiter{}}
}

// Take takes one turn, or tells how long to wait before the next try.
func (l *Limiter) Take(_ context.Context, key string) (wait time.Duration, err error) {
	r := l.of(key).Reserve()
	if wait = r.Delay(); wait > 0 {
		r.Cancel()
	}
	return wait, nil
}

func (l *Limiter) of(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.keys[key]; ok {
		return k
	}
	if len(l.keys) >= l.maxKeys {
		// Those that are full again have nothing to remember.
		for other, k := range l.keys {
			if k.Tokens() >= float64(l.burst) {
				delete(l.keys, other)
			}
		}
		if len(l.keys) >= l.maxKeys {
			clear(l.keys)
		}
	}
	k := rate.NewLimiter(l.perSecond, l.burst)
	l.keys[key] = k
	return k
}

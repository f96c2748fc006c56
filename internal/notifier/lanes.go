package notifier

import (
	"context"
	"sync"
)

// lanes bound how many sends are on their way for each of something: a service,
// a user.
type lanes[K comparable] struct {
	each int

	mu sync.Mutex
	by map[K]*lane
}

type lane struct {
	places chan struct{}
	users  int // that hold or wait for a place
}

func newLanes[K comparable](each int) *lanes[K] {
	return &lanes[K]{each: max(each, 1), by: map[K]*lane{}}
}

// enter takes a place, the earliest first. When there is none it says so by
// wait, once, and waits.
func (l *lanes[K]) enter(ctx context.Context, k K, wait func()) (leave func(), err error) {
	of := l.of(k)
	select {
	case of.places <- struct{}{}:
	default:
		wait()
		select {
		case <-ctx.Done():
			l.release(k, of)
			return nil, ctx.Err()
		case of.places <- struct{}{}:
		}
	}
	return func() {
		<-of.places
		l.release(k, of)
	}, nil
}

func (l *lanes[K]) of(k K) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.by[k]
	if of == nil {
		of = &lane{places: make(chan struct{}, l.each)}
		l.by[k] = of
	}
	of.users++
	return of
}

// release forgets what nobody sends to: there may be any number.
func (l *lanes[K]) release(k K, of *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of.users--; of.users == 0 {
		delete(l.by, k)
	}
}

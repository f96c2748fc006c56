package notifier

import (
	"context"
	"sync"
)

// keyedSemaphore bound how many sends are on their way for each of something: a service,
// a user.
type keyedSemaphore[K comparable] struct {
	limit int

	mu sync.Mutex
	byKey map[K]*semaphore
}

type semaphore struct {
	slots chan struct{}
	refs  int // that hold or wait for a place
}

func newKeyedSemaphore[K comparable](each int) *keyedSemaphore[K] {
	return &keyedSemaphore[K]{limit: max(each, 1), byKey: map[K]*semaphore{}}
}

// acquire takes a place, the earliest first. When there is none it says so by
// wait, once, and waits.
func (l *keyedSemaphore[K]) acquire(ctx context.Context, k K, wait func()) (leave func(), err error) {
	of := l.get(k)
	select {
	case of.slots <- struct{}{}:
	default:
		wait()
		select {
		case <-ctx.Done():
			l.put(k, of)
			return nil, ctx.Err()
		case of.slots <- struct{}{}:
		}
	}
	return func() {
		<-of.slots
		l.put(k, of)
	}, nil
}

func (l *keyedSemaphore[K]) get(k K) *semaphore {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.byKey[k]
	if of == nil {
		of = &semaphore{slots: make(chan struct{}, l.limit)}
		l.byKey[k] = of
	}
	of.refs++
	return of
}

// put forgets what nobody sends to: there may be any number.
func (l *keyedSemaphore[K]) put(k K, of *semaphore) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of.refs--; of.refs == 0 {
		delete(l.byKey, k)
	}
}

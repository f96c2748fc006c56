package notifier

import (
	"context"
	"sync"
)

// keyedSemaphore bounds how many sends are in flight for each key: a service or a
// user. It is safe for concurrent use.
type keyedSemaphore[K comparable] struct {
	limit int

	mu    sync.Mutex
	byKey map[K]*semaphore
}

// semaphore is the semaphore of one key.
type semaphore struct {
	slots chan struct{}
	refs  int // goroutines that hold or wait for a slot
}

func newKeyedSemaphore[K comparable](limit int) *keyedSemaphore[K] {
	return &keyedSemaphore[K]{limit: max(limit, 1), byKey: map[K]*semaphore{}}
}

// acquire waits for a slot, first come, first served, and returns the function that
// releases it. When it has to wait, it calls onWait first. It fails when ctx ends.
func (s *keyedSemaphore[K]) acquire(ctx context.Context, key K, onWait func()) (release func(), err error) {
	sem := s.get(key)
	select {
	case sem.slots <- struct{}{}:
	default:
		onWait()
		select {
		case <-ctx.Done():
			s.put(key, sem)
			return nil, ctx.Err()
		case sem.slots <- struct{}{}:
		}
	}
	return func() {
		<-sem.slots
		s.put(key, sem)
	}, nil
}

// get returns the semaphore of a key and adds a reference to it.
func (s *keyedSemaphore[K]) get(key K) *semaphore {
	s.mu.Lock()
	defer s.mu.Unlock()
	sem := s.byKey[key]
	if sem == nil {
		sem = &semaphore{slots: make(chan struct{}, s.limit)}
		s.byKey[key] = sem
	}
	sem.refs++
	return sem
}

// put removes a reference, and the semaphore with its last one: there may be any
// number of keys.
func (s *keyedSemaphore[K]) put(key K, sem *semaphore) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sem.refs--; sem.refs == 0 {
		delete(s.byKey, key)
	}
}

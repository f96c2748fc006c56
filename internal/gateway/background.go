package gateway

import "sync"

// background is the work that Stop waits for: every goroutine that the gateway
// starts, and its calls on goroutines of others. Unlike a [sync.WaitGroup] it
// may be used while Wait runs: it then starts nothing new and reports so.
type background struct {
	mu      sync.RWMutex // held for reading to start work, so that Wait sees all of it
	stopped bool
	running sync.WaitGroup
}

// Go runs f on a new goroutine. It reports false, and does nothing, after Wait
// was called.
func (b *background) Go(f func()) bool {
	if !b.begin() {
		return false
	}
	go func() {
		defer b.running.Done()
		f()
	}()
	return true
}

// Do is like Go, but runs f on the caller's goroutine.
func (b *background) Do(f func()) bool {
	if !b.begin() {
		return false
	}
	defer b.running.Done()
	f()
	return true
}

func (b *background) begin() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.stopped {
		b.running.Add(1)
	}
	return !b.stopped
}

// Wait refuses new work from now on and waits for the work in progress.
func (b *background) Wait() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.running.Wait()
}

package gateway

import "sync"

// background is what a stop waits for: every goroutine that the gateway starts,
// and what it does on those of others. Unlike a [sync.WaitGroup] it may be asked
// for more while it is waited for; it declines.
type background struct {
	mu      sync.RWMutex // held for reading to begin something, so that Wait sees all of it
	stopped bool
	running sync.WaitGroup
}

// Go runs f on a goroutine of its own. It reports false, and does nothing, when
// the gateway has stopped.
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

// Do is Go on the caller's goroutine.
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

// Wait declines whatever comes from now on, and waits for what is under way.
func (b *background) Wait() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.running.Wait()
}

package rabbitmq

import (
	"context"
	"testing"
	"time"
)

// simulateCalls makes n calls. took returns the duration of a call for a number of
// calls in flight.
func simulateCalls(t *testing.T, w *window, n int, took func(inFlight int) time.Duration) {
	t.Helper()
	now := time.Now()
	for range n {
		if err := w.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.update(took(int(w.limit)), now)
		w.mu.Unlock()
		w.release(0)
	}
}

func TestWindow(t *testing.T) {
	w := newWindow(16, 3)
	idle := func(int) time.Duration { return time.Millisecond }
	simulateCalls(t, w, 200, idle)
	if int(w.limit) != 16 {
		t.Errorf("idle: the limit is %v, want 16", w.limit)
	}
	// The duration grows with the number of calls in flight.
	simulateCalls(t, w, 200, func(inFlight int) time.Duration { return time.Duration(10*inFlight) * time.Millisecond })
	if w.limit < 1 || w.limit > 4 {
		t.Errorf("busy: the limit is %v, want 1 to 4", w.limit)
	}
	simulateCalls(t, w, 200, idle)
	if int(w.limit) != 16 {
		t.Errorf("idle again: the limit is %v, want 16", w.limit)
	}
	// A system that is slower permanently counts as idle after a while.
	later := time.Now()
	for range 3 {
		later = later.Add(fastestPeriod + time.Second)
		for range 100 {
			w.mu.Lock()
			w.update(20*time.Millisecond, later)
			w.mu.Unlock()
		}
	}
	if int(w.limit) != 16 {
		t.Errorf("permanently slower: the limit is %v, want 16", w.limit)
	}
}

func TestWindowIsFIFO(t *testing.T) {
	w := newWindow(1, 0)
	if err := w.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	order := make(chan int, 3)
	for i := range 3 {
		go func() {
			if w.acquire(context.Background()) == nil {
				order <- i
				w.release(0)
			}
		}()
		for queued := 0; queued <= i; {
			w.mu.Lock()
			queued = len(w.waiters)
			w.mu.Unlock()
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if w.acquire(cancelled) == nil {
		t.Error("a cancelled call was admitted")
	}
	w.release(0)
	for i := range 3 {
		if got := <-order; got != i {
			t.Errorf("call %d was admitted at place %d", got, i)
		}
	}
}

// After its context has ended, a call is not admitted even when the window has
// room.
func TestWindowRefusesEndedContexts(t *testing.T) {
	w := newWindow(2, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w.acquire(ctx) == nil {
		t.Error("it was admitted")
	}
	if w.inFlight != 0 {
		t.Errorf("%d calls are in flight", w.inFlight)
	}
}

package rabbitmq

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// simulateCalls makes n calls. took returns the duration of a call for a number of
// calls in flight.
func simulateCalls(t *testing.T, w *window, n int, took func(inFlight int) time.Duration) {
	t.Helper()
	now := time.Now()
	for range n {
		s, err := w.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.update(took(int(w.limit)), now)
		w.mu.Unlock()
		s.release(0)
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
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(1, 0)
		first, err := w.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if s, err := w.acquire(context.Background()); err == nil {
					order <- i
					s.release(0)
				}
			}()
			synctest.Wait() // it is in line
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.acquire(cancelled); err == nil {
			t.Error("a cancelled call was admitted")
		}
		first.release(0)
		for i := range 3 {
			if got := <-order; got != i {
				t.Errorf("call %d was admitted at place %d", got, i)
			}
		}
	})
}

// After its context has ended, a call is not admitted even when the window has
// room.
func TestWindowRefusesEndedContexts(t *testing.T) {
	w := newWindow(2, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.acquire(ctx); err == nil {
		t.Error("it was admitted")
	}
	if w.inFlight != 0 {
		t.Errorf("%d calls are in flight", w.inFlight)
	}
}

// A call that hangs makes room for others, once.
func TestHungCallsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(1, 0)
		for range 3 {
			hung, err := w.acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			next, err := w.acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(began); waited != maxCounted {
				t.Errorf("the next waited %v", waited)
			}
			hung.release(0)
			if w.inFlight != 1 {
				t.Errorf("%d are in flight, want the next alone", w.inFlight)
			}
			next.release(0)
			time.Sleep(2 * maxCounted)
			if w.inFlight != 0 {
				t.Errorf("%d are in flight at the end", w.inFlight)
			}
		}
	})
}

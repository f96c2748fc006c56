package rabbitmq

import (
	"context"
	"testing"
	"time"
)

// calls has n calls made that take as long as took says for the number under
// way.
func calls(t *testing.T, w *window, n int, took func(inside int) time.Duration) {
	t.Helper()
	now := time.Now()
	for range n {
		if err := w.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.learn(took(int(w.limit)), now)
		w.mu.Unlock()
		w.leave(0)
	}
}

func TestWindow(t *testing.T) {
	w := newWindow(16, 3)
	idle := func(int) time.Duration { return time.Millisecond }
	calls(t, w, 200, idle)
	if int(w.limit) != 16 {
		t.Errorf("on an idle system %v calls may go, not 16", w.limit)
	}
	// Each takes as long as all that are under way together.
	calls(t, w, 200, func(inside int) time.Duration { return time.Duration(10*inside) * time.Millisecond })
	if w.limit < 1 || w.limit > 4 {
		t.Errorf("on a busy system %v calls may go", w.limit)
	}
	calls(t, w, 200, idle)
	if int(w.limit) != 16 {
		t.Errorf("on a system that is idle again %v calls may go, not 16", w.limit)
	}
	// A system that is slower for good is what is usual, after a while.
	later := time.Now()
	for range 3 {
		later = later.Add(fastestPeriod + time.Second)
		for range 100 {
			w.mu.Lock()
			w.learn(20*time.Millisecond, later)
			w.mu.Unlock()
		}
	}
	if int(w.limit) != 16 {
		t.Errorf("on a slow system %v calls may go, not 16", w.limit)
	}
}

func TestWindowHasAnOrder(t *testing.T) {
	w := newWindow(1, 0)
	if err := w.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	order := make(chan int, 3)
	for i := range 3 {
		go func() {
			if w.enter(context.Background()) == nil {
				order <- i
				w.leave(0)
			}
		}()
		for queued := 0; queued <= i; {
			w.mu.Lock()
			queued = len(w.waiting)
			w.mu.Unlock()
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if w.enter(gone) == nil {
		t.Error("a call that is given up goes in")
	}
	w.leave(0)
	for i := range 3 {
		if got := <-order; got != i {
			t.Errorf("call %d came at place %d", got, i)
		}
	}
}

// Who was told to stop begins nothing, also where a place is free.
func TestWindowIsClosedToThoseWhoStop(t *testing.T) {
	w := newWindow(2, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w.enter(ctx) == nil {
		t.Error("it went in")
	}
	if w.inside != 0 {
		t.Errorf("%d places are taken", w.inside)
	}
}

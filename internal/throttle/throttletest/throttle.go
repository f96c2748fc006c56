package throttletest

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

func testWaiting(t *testing.T, h Harness) {
	c, name, address := newClock(), fresh(), fresh()
	throttles := h.Throttles(t, throttle.Config{Free: 2, Longest: 10 * time.Second, Now: c.Now})
	near, far := throttles[0], throttles[1]
	var want time.Duration
	for i, seconds := range []time.Duration{0, 0, 1, 2, 4, 8, 10, 10} {
		c.advance(want) // what the failure before costs
		fail(t, near, address, name)
		want = seconds * time.Second
		for range 3 { // who is told to wait is not counted
			if got := waiting(t, far, fresh(), name); got != want {
				t.Errorf("after %d failures: %v, want %v", i+1, got, want)
			}
		}
	}
	c.advance(4 * time.Second)
	if got := waiting(t, far, name); got != 6*time.Second {
		t.Errorf("4 s later: %v", got)
	}
	succeed(t, far, name)
	if got := waiting(t, near, name); got != 0 {
		t.Errorf("after a success: %v", got)
	}
	if got := waiting(t, near, name, address); got == 0 {
		t.Error("the address was forgotten with the name")
	}
	if got := waiting(t, near); got != 0 {
		t.Errorf("no key at all waits %v", got)
	}
	c.advance(time.Hour)
	if got := waiting(t, near, address); got != 0 {
		t.Errorf("an hour later: %v", got)
	}
	fail(t, near, address)
	if got := waiting(t, far, address); got != 0 {
		t.Errorf("what was forgotten counts again: %v", got)
	}
}

// An address that others guessed from serves those who know their passwords as
// if they had not tried.
func testForgiving(t *testing.T, h Harness) {
	c, address := newClock(), fresh()
	throttles := h.Throttles(t, throttle.Config{Free: 2, First: time.Minute, Forget: time.Hour, Now: c.Now})
	near, far := throttles[0], throttles[1]
	for range 3 {
		fail(t, near, address)
	}
	c.advance(time.Minute)
	for range 10 {
		name := fresh()
		fail(t, far, address, name)
		c.advance(100 * time.Millisecond) // while it is checked
		succeed(t, near, name)
		forgive(t, near, address)
	}
	forgive(t, far, fresh()) // of which nothing is known
	fail(t, near, address)
	if got := waiting(t, far, address); got != 2*time.Minute {
		t.Errorf("after the next failure: %v", got)
	}
}

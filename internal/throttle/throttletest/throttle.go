package throttletest

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

func testWait(t *testing.T, h Harness) {
	c, name, address := newClock(), uniqueKey(), uniqueKey()
	throttles := h.Throttles(t, throttle.Config{FreeFailures: 2, MaxWait: 10 * time.Second, Now: c.Now})
	near, far := throttles[0], throttles[1]
	var want time.Duration
	for i, seconds := range []time.Duration{0, 0, 1, 2, 4, 8, 10, 10} {
		c.advance(want) // what the failure before costs
		fail(t, near, address, name)
		want = seconds * time.Second
		for range 3 { // an attempt that must wait is not counted
			if got := currentWait(t, far, uniqueKey(), name); got != want {
				t.Errorf("after %d failures: %v, want %v", i+1, got, want)
			}
		}
	}
	c.advance(4 * time.Second)
	if got := currentWait(t, far, name); got != 6*time.Second {
		t.Errorf("4 s later: %v", got)
	}
	reset(t, far, name)
	if got := currentWait(t, near, name); got != 0 {
		t.Errorf("after a success: %v", got)
	}
	if got := currentWait(t, near, name, address); got == 0 {
		t.Error("the address was reset with the name")
	}
	if got := currentWait(t, near); got != 0 {
		t.Errorf("no key at all waits %v", got)
	}
	c.advance(time.Hour)
	if got := currentWait(t, near, address); got != 0 {
		t.Errorf("an hour later: %v", got)
	}
	fail(t, near, address)
	if got := currentWait(t, far, address); got != 0 {
		t.Errorf("expired failures count again: %v", got)
	}
}

// Users who know their passwords are not slowed down further at an address from
// which others have guessed.
func testCancel(t *testing.T, h Harness) {
	c, address := newClock(), uniqueKey()
	throttles := h.Throttles(t, throttle.Config{FreeFailures: 2, FirstWait: time.Minute, ForgetAfter: time.Hour, Now: c.Now})
	near, far := throttles[0], throttles[1]
	for range 3 {
		fail(t, near, address)
	}
	c.advance(time.Minute)
	for range 10 {
		name := uniqueKey()
		fail(t, far, address, name)
		c.advance(100 * time.Millisecond) // while it is checked
		reset(t, near, name)
		cancelAttempt(t, near, address)
	}
	cancelAttempt(t, far, uniqueKey()) // an unknown key
	fail(t, near, address)
	if got := currentWait(t, far, address); got != 2*time.Minute {
		t.Errorf("after the next failure: %v", got)
	}
}

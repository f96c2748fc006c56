package throttletest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

func testFailures(t *testing.T, h Harness) {
	c, key := newClock(), uniqueKey()
	throttles := h.Throttles(t, throttle.Config{FreeFailures: 60, MaxWait: time.Hour, Now: c.Now})
	var guessers sync.WaitGroup
	for i := range 50 {
		guessers.Go(func() {
			if wait, err := throttles[i%len(throttles)].Try(t.Context(), uniqueKey(), key); err != nil || wait != 0 {
				t.Error(wait, err)
			}
		})
	}
	guessers.Wait()
	for i := range 11 {
		fail(t, throttles[i%len(throttles)], key)
	}
	for _, th := range throttles {
		if got := currentWait(t, th, key); got != time.Second {
			t.Errorf("the wait is %v", got)
		}
	}
}

// tryConcurrently makes concurrent attempts and returns those that were allowed,
// and the others.
func tryConcurrently(t *testing.T, throttles []Throttle, attempts [][]string) (allowed, refused [][]string) {
	t.Helper()
	var mu sync.Mutex
	var guessers sync.WaitGroup
	start := make(chan struct{})
	for i, keys := range attempts {
		guessers.Go(func() {
			<-start
			wait, err := throttles[i%len(throttles)].Try(t.Context(), keys...)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case wait == 0:
				allowed = append(allowed, keys)
			default:
				refused = append(refused, keys)
			}
		})
	}
	close(start)
	guessers.Wait()
	return allowed, refused
}

// testConcurrentGuesses: checking a password takes time, and concurrent guesses
// must not be allowed just because none has failed yet.
func testConcurrentGuesses(t *testing.T, h Harness) {
	const free, guesses = 3, 64
	for name, keys := range map[string]func(address, name string) []string{
		"at one name":                   func(_, name string) []string { return []string{uniqueKey(), name} },
		"from one address":              func(address, _ string) []string { return []string{address, uniqueKey()} },
		"at one name, from one address": func(address, name string) []string { return []string{address, name} },
		"at one name alone":             func(_, name string) []string { return []string{name} },
	} {
		t.Run(name, func(t *testing.T) {
			c, address, name := newClock(), uniqueKey(), uniqueKey()
			throttles := h.Throttles(t, throttle.Config{FreeFailures: free, FirstWait: time.Minute, Now: c.Now})
			for _, want := range []int{free + 1, 1, 1} {
				attempts := make([][]string, guesses)
				for i := range attempts {
					attempts[i] = keys(address, name)
				}
				allowed, refused := tryConcurrently(t, throttles, attempts)
				if len(allowed) != want {
					t.Fatalf("%d were allowed, want %d", len(allowed), want)
				}
				// Attempts that must wait are not counted for their other key.
				for _, keys := range refused[:4] {
					for _, key := range keys {
						if key == address || key == name {
							continue
						}
						for range free + 1 {
							fail(t, throttles[0], key)
						}
					}
				}
				c.advance(currentWait(t, throttles[0], allowed[0]...))
			}
		})
	}
}

// testSuccesses: concurrent successes, no more than are allowed at once, never
// wait, and leave no state.
func testSuccesses(t *testing.T, h Harness) {
	const free = 3
	c, address := newClock(), uniqueKey()
	throttles := h.Throttles(t, throttle.Config{FreeFailures: free, FirstWait: time.Minute, Now: c.Now})
	var users sync.WaitGroup
	var waited atomic.Int64
	for i := range free + 1 {
		users.Go(func() {
			th, name := throttles[i%len(throttles)], uniqueKey()
			for range 20 {
				wait, err := th.Try(t.Context(), address, name)
				if err != nil {
					t.Error(err)
				}
				if wait > 0 {
					waited.Add(1)
					continue
				}
				if err := th.Reset(t.Context(), name); err != nil {
					t.Error(err)
				}
				if err := th.Cancel(t.Context(), address); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	if n := waited.Load(); n > 0 {
		t.Errorf("%d had to wait", n)
	}
	for range free + 1 {
		fail(t, throttles[0], address)
	}
	if got := currentWait(t, throttles[1], address); got != time.Minute {
		t.Errorf("after the failures: %v", got)
	}
}

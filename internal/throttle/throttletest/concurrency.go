package throttletest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

func testFailures(t *testing.T, h Harness) {
	c, key := newClock(), fresh()
	throttles := h.Throttles(t, throttle.Config{Free: 60, Longest: time.Hour, Now: c.Now})
	var guessers sync.WaitGroup
	for i := range 50 {
		guessers.Go(func() {
			if wait, err := throttles[i%len(throttles)].Try(t.Context(), fresh(), key); err != nil || wait != 0 {
				t.Error(wait, err)
			}
		})
	}
	guessers.Wait()
	for i := range 11 {
		fail(t, throttles[i%len(throttles)], key)
	}
	for _, th := range throttles {
		if got := waiting(t, th, key); got != time.Second {
			t.Errorf("the wait is %v", got)
		}
	}
}

// volley has many try at once and gives those that were let through, and the
// others.
func volley(t *testing.T, throttles []Throttle, attempts [][]string) (through, refused [][]string) {
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
				through = append(through, keys)
			default:
				refused = append(refused, keys)
			}
		})
	}
	close(start)
	guessers.Wait()
	return through, refused
}

// testVolley: checking a password takes its time, and no guess of a volley may
// be let through because none has failed yet.
func testVolley(t *testing.T, h Harness) {
	const free, guesses = 3, 64
	for name, keys := range map[string]func(address, name string) []string{
		"at one name":                   func(_, name string) []string { return []string{fresh(), name} },
		"from one address":              func(address, _ string) []string { return []string{address, fresh()} },
		"at one name, from one address": func(address, name string) []string { return []string{address, name} },
		"at one name alone":             func(_, name string) []string { return []string{name} },
	} {
		t.Run(name, func(t *testing.T) {
			c, address, name := newClock(), fresh(), fresh()
			throttles := h.Throttles(t, throttle.Config{Free: free, First: time.Minute, Now: c.Now})
			for _, want := range []int{free + 1, 1, 1} {
				attempts := make([][]string, guesses)
				for i := range attempts {
					attempts[i] = keys(address, name)
				}
				through, refused := volley(t, throttles, attempts)
				if len(through) != want {
					t.Fatalf("%d were let through, want %d", len(through), want)
				}
				// Those who must wait are not counted under their other key.
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
				c.advance(waiting(t, throttles[0], through[0]...))
			}
		})
	}
}

// testSuccesses: as many as are allowed at once, again and again, are never
// made to wait, and are not remembered.
func testSuccesses(t *testing.T, h Harness) {
	const free = 3
	c, address := newClock(), fresh()
	throttles := h.Throttles(t, throttle.Config{Free: free, First: time.Minute, Now: c.Now})
	var people sync.WaitGroup
	var waited atomic.Int64
	for i := range free + 1 {
		people.Go(func() {
			th, name := throttles[i%len(throttles)], fresh()
			for range 20 {
				wait, err := th.Try(t.Context(), address, name)
				if err != nil {
					t.Error(err)
				}
				if wait > 0 {
					waited.Add(1)
					continue
				}
				if err := th.Succeeded(t.Context(), name); err != nil {
					t.Error(err)
				}
				if err := th.Forgive(t.Context(), address); err != nil {
					t.Error(err)
				}
			}
		})
	}
	people.Wait()
	if n := waited.Load(); n > 0 {
		t.Errorf("%d had to wait", n)
	}
	for range free + 1 {
		fail(t, throttles[0], address)
	}
	if got := waiting(t, throttles[1], address); got != time.Minute {
		t.Errorf("after the failures: %v", got)
	}
}

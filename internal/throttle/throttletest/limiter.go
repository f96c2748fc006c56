package throttletest

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// testWindows takes tokens at random times, and checks every window between two
// of those that were given. A caller that must wait is allowed after that time,
// and not before.
func testWindows(t *testing.T, h Harness) {
	rapid.Check(t, func(rt *rapid.T) {
		perSecond := rapid.Float64Range(0.01, 5000).Draw(rt, "rate")
		burst := rapid.IntRange(1, 20).Draw(rt, "burst")
		c, key := newClock(), uniqueKey()
		limiters := h.Limiters(t, perSecond, burst, c.Now)
		var given []time.Time
		give := func() {
			now := c.Now()
			given = append(given, now)
			for i, from := range given {
				most := float64(burst) + perSecond*now.Sub(from).Seconds()
				if n := len(given) - i; float64(n) > most+1e-6 {
					rt.Fatalf("%d tokens within %v; at most %v are allowed", n, now.Sub(from), most)
				}
			}
		}
		interval := int64(1e6 / perSecond) // microseconds
		for range rapid.IntRange(1, 50).Draw(rt, "turns") {
			pause := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 2*interval), rapid.Int64Range(0, 2*int64(burst)*interval)).Draw(rt, "pause")
			c.advance(time.Duration(pause) * time.Microsecond)
			l := rapid.SampledFrom(limiters).Draw(rt, "process")
			wait := take(rt, l, key)
			if wait == 0 {
				give()
				continue
			}
			now := c.Now()
			if wait > rounding {
				c.set(now.Add(wait - rounding))
				if take(rt, l, key) == 0 {
					rt.Fatalf("the wait was %v, but %v was enough", wait, wait-rounding)
				}
			}
			c.set(now.Add(wait))
			if more := take(rt, l, key); more > 0 {
				rt.Fatalf("after the wait of %v, it must wait %v more", wait, more)
			}
			give()
		}
	})
}

func testRefill(t *testing.T, h Harness) {
	rapid.Check(t, func(rt *rapid.T) {
		perSecond := rapid.Float64Range(0.01, 5000).Draw(rt, "rate")
		burst := rapid.IntRange(1, 20).Draw(rt, "burst")
		c, key := newClock(), uniqueKey()
		limiters := h.Limiters(t, perSecond, burst, c.Now)
		interval := time.Duration(float64(time.Second) / perSecond)
		for range 2 {
			for i := range burst {
				if wait := take(rt, limiters[i%len(limiters)], key); wait != 0 {
					rt.Fatalf("token %d of %d must wait %v", i+1, burst, wait)
				}
			}
			if wait := take(rt, limiters[0], key); wait == 0 || wait > interval+rounding {
				rt.Fatalf("token %d waits %v, with an interval of %v", burst+1, wait, interval)
			}
			c.advance(time.Duration(burst) * (interval + time.Microsecond))
		}
	})
}

func testKeys(t *testing.T, h Harness) {
	c := newClock()
	limiters := h.Limiters(t, 1, 1, c.Now)
	long := strings.Repeat("x", 10_000)
	for _, key := range []string{"", "a", "A", "{a}", "{a}b", "a\r\nb", "\x00\xff", "飛脚", long, long + "x"} {
		key += uniqueKey()
		if wait := take(t, limiters[0], key); wait != 0 {
			t.Errorf("%.20q waits %v for others", key, wait)
		}
		if wait := take(t, limiters[1], key); wait == 0 {
			t.Errorf("%.20q gets two tokens", key)
		}
	}
}

func testConcurrentTakes(t *testing.T, h Harness) {
	const burst = 100
	c, key := newClock(), uniqueKey()
	limiters := h.Limiters(t, 10, burst, c.Now)
	for round, want := range []int64{burst, 30, 0} {
		var given atomic.Int64
		var takers sync.WaitGroup
		for i := range 8 {
			takers.Go(func() {
				for range 25 {
					wait, err := limiters[i%len(limiters)].Take(t.Context(), key)
					if err != nil {
						t.Error(err)
					} else if wait == 0 {
						given.Add(1)
					}
				}
			})
		}
		takers.Wait()
		if got := given.Load(); got != want {
			t.Errorf("round %d: %d tokens, want %d", round, got, want)
		}
		if round == 0 {
			c.advance(3 * time.Second)
		}
	}
}

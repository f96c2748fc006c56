package backoff_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
)

func TestIntervalsDouble(t *testing.T) {
	b := backoff.Backoff{InitialInterval: 50 * time.Millisecond, MaxInterval: 300 * time.Millisecond}
	want := []time.Duration{50, 100, 200, 300, 300}
	for range 2 {
		var got []time.Duration
		for range want {
			got = append(got, b.Next()/time.Millisecond)
		}
		if !slices.Equal(got, want) {
			t.Errorf("waits for %v ms, not %v", got, want)
		}
		b.Reset()
	}
}

// Whatever the settings, an interval is between its fixed part and the whole,
// and the whole never shrinks and never passes the maximum.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(1, int64(time.Hour)).Draw(t, "initial")
		most := rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "max")
		b := backoff.Backoff{
			InitialInterval: time.Duration(first), MaxInterval: time.Duration(most),
			Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		whole := min(first, most)
		for range rapid.IntRange(1, 100).Draw(t, "failures") {
			got := float64(b.Next())
			if got < float64(whole)*(1-b.Jitter)-1 || got > float64(whole) {
				t.Fatalf("waits for %v of %v with jitter %v", time.Duration(got), time.Duration(whole), b.Jitter)
			}
			whole = min(2*whole, most)
		}
	})
}

// Full jitter reaches both halves of an interval, half jitter the upper one.
func TestJitterSpreads(t *testing.T) {
	for _, jitter := range []float64{0.5, 1} {
		low, high := time.Hour, time.Duration(0)
		for range 1000 {
			b := backoff.Backoff{InitialInterval: time.Second, MaxInterval: time.Minute, Jitter: jitter}
			wait := b.Next()
			low, high = min(low, wait), max(high, wait)
		}
		fixed := time.Duration(float64(time.Second) * (1 - jitter))
		if low < fixed || low > fixed+100*time.Millisecond || high < 900*time.Millisecond || high >= time.Second {
			t.Errorf("jitter %v waits for %v to %v", jitter, low, high)
		}
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := backoff.Sleep(t.Context(), time.Minute); err != nil || time.Since(began) != time.Minute {
			t.Errorf("slept for %v, %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if err := backoff.Sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("slept for %v, %v", time.Since(began), err)
		}
	})
}

// A typical retry loop: the operation fails for a while, and is retried at growing
// intervals.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := backoff.Backoff{InitialInterval: time.Second, MaxInterval: 4 * time.Second}
		var tries []time.Duration
		for range 5 {
			tries = append(tries, time.Since(began)/time.Second)
			if err := backoff.Sleep(t.Context(), b.Next()); err != nil {
				t.Fatal(err)
			}
		}
		if want := []time.Duration{0, 1, 3, 7, 11}; !slices.Equal(tries, want) {
			t.Errorf("tried after %v s, not %v", tries, want)
		}
	})
}

package throttle_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/throttle/throttletest"
)

// In memory there is only one process, so both limiters are the same.
func TestConformance(t *testing.T) {
	throttletest.Run(t, throttletest.Harness{
		Limiters: func(t *testing.T, perSecond float64, burst int, now func() time.Time) []throttletest.Limiter {
			return slices.Repeat([]throttletest.Limiter{newLimiter(t, perSecond, burst).WithNow(now)}, 2)
		},
		Throttles: func(t *testing.T, cfg throttle.Config) []throttletest.Throttle {
			return slices.Repeat([]throttletest.Throttle{newThrottle(t, cfg)}, 2)
		},
	})
}

func BenchmarkLimiter(b *testing.B) {
	throttletest.BenchmarkLimiter(b, newLimiter(b, 20, 60))
}

func BenchmarkThrottle(b *testing.B) {
	throttletest.BenchmarkThrottle(b, newThrottle(b, throttle.Config{}))
}

func newLimiter(tb testing.TB, perSecond float64, burst int) *throttle.Limiter {
	tb.Helper()
	l, err := throttle.NewLimiter(perSecond, burst)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func newThrottle(tb testing.TB, cfg throttle.Config) *throttle.Throttle {
	tb.Helper()
	th, err := throttle.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return th
}

func TestConfig(t *testing.T) {
	for _, cfg := range []throttle.Config{{FreeFailures: -1}, {FirstWait: -1}, {MaxWait: 1000 * time.Hour}, {ForgetAfter: -1}, {MaxKeys: -1}} {
		if _, err := throttle.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	for _, limit := range []struct {
		perSecond float64
		burst     int
	}{{0, 1}, {-1, 1}, {math.NaN(), 1}, {1, 0}, {1, -1}} {
		if _, err := throttle.NewLimiter(limit.perSecond, limit.burst); err == nil {
			t.Errorf("%+v was accepted", limit)
		}
	}
}

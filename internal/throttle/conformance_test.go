package throttle_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/throttle/throttletest"
)

// In memory there is only one process, so both limiters are the same.
func TestConformance(t *testing.T) {
	throttletest.Run(t, throttletest.Harness{
		Limiters: func(_ *testing.T, perSecond float64, burst int, now func() time.Time) []throttletest.Limiter {
			return slices.Repeat([]throttletest.Limiter{throttle.NewLimiter(perSecond, burst).WithNow(now)}, 2)
		},
		Throttles: func(_ *testing.T, cfg throttle.Config) []throttletest.Throttle {
			return slices.Repeat([]throttletest.Throttle{throttle.New(cfg)}, 2)
		},
	})
}

func BenchmarkLimiter(b *testing.B) {
	throttletest.BenchmarkLimiter(b, throttle.NewLimiter(20, 60))
}

func BenchmarkThrottle(b *testing.B) {
	throttletest.BenchmarkThrottle(b, throttle.New(throttle.Config{}))
}

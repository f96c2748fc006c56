package throttletest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkLimiter takes tokens for a thousand keys, from many goroutines.
func BenchmarkLimiter(b *testing.B, l Limiter) {
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	var turn atomic.Int64
	b.ReportAllocs()
	b.ResetTimer() // servers may have been started
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Take(context.Background(), keys[turn.Add(1)%1000]); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkThrottle tries as logins do: those that succeed, of a thousand users,
// and one that must wait.
func BenchmarkThrottle(b *testing.B, th Throttle) {
	b.Run("succeeds", func(b *testing.B) {
		var turn atomic.Int64
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n := turn.Add(1) % 1000
				address, name := fmt.Sprint("address:", n), fmt.Sprint("name:", n)
				if _, err := th.Try(context.Background(), address, name); err != nil {
					b.Error(err)
				}
				if err := th.Reset(context.Background(), name); err != nil {
					b.Error(err)
				}
				if err := th.Cancel(context.Background(), address); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("waits", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := th.Try(context.Background(), "address:192.0.2.1", "name:aki"); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

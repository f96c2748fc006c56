// Package throttletest is the conformance suite of the limiters and throttles:
// every implementation runs it, against its real server.
package throttletest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// Limiter is what is tested of a limiter; see [throttle.Limiter].
type Limiter interface {
	Take(ctx context.Context, key string) (wait time.Duration, err error)
}

// Throttle is what is tested of a throttle; see [throttle.Throttle].
type Throttle interface {
	Try(ctx context.Context, keys ...string) (wait time.Duration, err error)
	Reset(ctx context.Context, keys ...string) error
	Cancel(ctx context.Context, keys ...string) error
}

// Harness is what an implementation provides. Both functions return several, which
// share their state as the processes of an installation do.
type Harness struct {
	// Limiters returns limiters that use the clock now.
	Limiters func(t *testing.T, perSecond float64, burst int, now func() time.Time) []Limiter
	// Throttles returns throttles that use the clock cfg.Now.
	Throttles func(t *testing.T, cfg throttle.Config) []Throttle
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("no window holds more than burst and rate", func(t *testing.T) { testWindows(t, h) })
	t.Run("the bucket fills again", func(t *testing.T) { testRefill(t, h) })
	t.Run("each key has a limit of its own", func(t *testing.T) { testKeys(t, h) })
	t.Run("concurrent calls share the limit", func(t *testing.T) { testConcurrentTakes(t, h) })
	t.Run("waits double and expire", func(t *testing.T) { testWait(t, h) })
	t.Run("any interleaving agrees with the model", func(t *testing.T) { testModel(t, h) })
	t.Run("canceled attempts leave no trace", func(t *testing.T) { testCancel(t, h) })
	t.Run("concurrent failures all count", func(t *testing.T) { testFailures(t, h) })
	t.Run("concurrent guesses are allowed no more often than sequential ones", func(t *testing.T) { testConcurrentGuesses(t, h) })
	t.Run("concurrent successes leave no state", func(t *testing.T) { testSuccesses(t, h) })
}

// rounding is how much longer than needed a wait may be.
const rounding = time.Millisecond

// clock is a manual clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func (c *clock) advance(d time.Duration) { c.set(c.Now().Add(d)) }

var counter atomic.Int64

// uniqueKey returns a key that was not used before.
func uniqueKey() string { return fmt.Sprintf("name:test %d", counter.Add(1)) }

// failer is a test, or one check of a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func take(t failer, l Limiter, key string) time.Duration {
	t.Helper()
	wait, err := l.Take(context.Background(), key)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	if wait < 0 {
		t.Fatalf("Take: the wait is %v", wait)
	}
	return wait
}

func try(t failer, th Throttle, keys ...string) time.Duration {
	t.Helper()
	wait, err := th.Try(context.Background(), keys...)
	if err != nil {
		t.Fatalf("Try: %v", err)
	}
	if wait < 0 {
		t.Fatalf("Try: the wait is %v", wait)
	}
	return wait
}

// fail makes an attempt that is allowed and fails.
func fail(t failer, th Throttle, keys ...string) {
	t.Helper()
	if wait := try(t, th, keys...); wait != 0 {
		t.Fatalf("the attempt must wait %v", wait)
	}
}

func cancelAttempt(t failer, th Throttle, keys ...string) {
	t.Helper()
	if err := th.Cancel(context.Background(), keys...); err != nil {
		t.Fatalf("Cancel: %v", err)
	}
}

// currentWait returns how long the keys would have to wait.
func currentWait(t failer, th Throttle, keys ...string) time.Duration {
	t.Helper()
	wait := try(t, th, keys...)
	if wait == 0 {
		cancelAttempt(t, th, keys...)
	}
	return wait
}

func reset(t failer, th Throttle, keys ...string) {
	t.Helper()
	if err := th.Reset(context.Background(), keys...); err != nil {
		t.Fatalf("Reset: %v", err)
	}
}

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
	Succeeded(ctx context.Context, keys ...string) error
	Forgive(ctx context.Context, keys ...string) error
}

// Harness is what an implementation brings. Both functions make several, as the
// processes of an installation would, that share what they remember.
type Harness struct {
	// Limiters makes limiters that go by the clock now.
	Limiters func(t *testing.T, perSecond float64, burst int, now func() time.Time) []Limiter
	// Throttles makes throttles that go by the clock cfg.Now.
	Throttles func(t *testing.T, cfg throttle.Config) []Throttle
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("no window holds more than burst and rate", func(t *testing.T) { testWindows(t, h) })
	t.Run("who rests has the whole burst again", func(t *testing.T) { testRest(t, h) })
	t.Run("each key has a limit of its own", func(t *testing.T) { testKeys(t, h) })
	t.Run("concurrent takers share the limit", func(t *testing.T) { testTakers(t, h) })
	t.Run("waiting doubles and is forgotten", func(t *testing.T) { testWaiting(t, h) })
	t.Run("any interleaving agrees with the model", func(t *testing.T) { testModel(t, h) })
	t.Run("what is taken back leaves no trace", func(t *testing.T) { testForgiving(t, h) })
	t.Run("concurrent failures all count", func(t *testing.T) { testFailures(t, h) })
	t.Run("a volley is let through no further than one by one", func(t *testing.T) { testVolley(t, h) })
	t.Run("concurrent successes leave nothing", func(t *testing.T) { testSuccesses(t, h) })
}

// rounding is by how much a wait may be longer than is needed.
const rounding = time.Millisecond

// clock is a time that stands still until the test moves it.
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

// fresh is a key that nothing is remembered of.
func fresh() string { return fmt.Sprintf("name:test %d", counter.Add(1)) }

// failer is a test, or one try of a property.
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

// fail is an attempt that is let through and fails.
func fail(t failer, th Throttle, keys ...string) {
	t.Helper()
	if wait := try(t, th, keys...); wait != 0 {
		t.Fatalf("the attempt must wait %v", wait)
	}
}

func forgive(t failer, th Throttle, keys ...string) {
	t.Helper()
	if err := th.Forgive(context.Background(), keys...); err != nil {
		t.Fatalf("Forgive: %v", err)
	}
}

// waiting is how long the keys would have to wait.
func waiting(t failer, th Throttle, keys ...string) time.Duration {
	t.Helper()
	wait := try(t, th, keys...)
	if wait == 0 {
		forgive(t, th, keys...)
	}
	return wait
}

func succeed(t failer, th Throttle, keys ...string) {
	t.Helper()
	if err := th.Succeeded(context.Background(), keys...); err != nil {
		t.Fatalf("Succeeded: %v", err)
	}
}

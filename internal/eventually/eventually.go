// Package eventually waits, in tests, for what has to come about. It waits for
// conditions and never for time: a slow or busy machine takes longer, and only a
// fault takes until Timeout.
package eventually

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Timeout bounds every wait. It is far longer than anything takes that works,
// on a machine that is busy with other things.
const Timeout = 3 * time.Minute

// pollInterval is the time between two looks at a condition.
const pollInterval = 5 * time.Millisecond

// True waits until ok returns true. what names the condition, for the failure.
func True(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	Nil(tb, what, func() error {
		if !ok() {
			return errNotYet
		}
		return nil
	})
}

var errNotYet = errors.New("it is not so")

// Nil waits until try returns nil. The failure shows its last error.
func Nil(tb testing.TB, what string, try func() error) {
	tb.Helper()
	for deadline := time.Now().Add(Timeout); ; time.Sleep(pollInterval) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("waited for %v in vain: %s: %v", Timeout, what, err)
		}
	}
}

// Receive waits for a value of c, or for its end.
func Receive[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	timer := time.NewTimer(Timeout)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		tb.Fatalf("waited for %v in vain: %s", Timeout, what)
		panic("unreachable")
	}
}

// Context ends after Timeout. Unlike tb.Context it outlives the test's body, for
// what a cleanup has to wait for.
func Context(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	tb.Cleanup(cancel)
	return ctx
}

// Package eventually waits for conditions in tests, and never for a fixed time.
// A slow or busy machine takes longer; only a fault takes until Timeout.
package eventually

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Timeout bounds every wait. It is far longer than anything takes that works,
// even on a busy machine.
const Timeout = 3 * time.Minute

// pollInterval is the time between two checks of a condition.
const pollInterval = 5 * time.Millisecond

// True waits until ok returns true. what describes the condition in the
// failure.
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

// Nil waits until try returns nil. The failure includes the last error.
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

// Receive waits for a value from c, or until c is closed.
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

// Context returns a context that ends after Timeout. Unlike tb.Context it stays
// valid during cleanups.
func Context(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	tb.Cleanup(cancel)
	return ctx
}

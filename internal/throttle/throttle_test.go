package throttle

import (
	"fmt"
	"testing"
	"time"
)

func TestWaitingDoublesAndIsForgotten(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	th := New(Config{Free: 2, Longest: 10 * time.Second, Now: func() time.Time { return now }})
	ctx := t.Context()
	for i, want := range []time.Duration{0, 0, 1, 2, 4, 8, 10, 10} {
		_ = th.Failed(ctx, "aki", "127.0.0.1")
		if got, _ := th.Wait(ctx, "other", "aki"); got != want*time.Second {
			t.Errorf("after %d failures: %v, want %v", i+1, got, want*time.Second)
		}
	}
	now = now.Add(4 * time.Second)
	if got, _ := th.Wait(ctx, "aki"); got != 6*time.Second {
		t.Errorf("4 s later: %v", got)
	}
	_ = th.Succeeded(ctx, "aki")
	if got, _ := th.Wait(ctx, "aki"); got != 0 {
		t.Errorf("after a success: %v", got)
	}
	if got, _ := th.Wait(ctx, "127.0.0.1"); got == 0 {
		t.Error("the address was forgotten with the name")
	}
	now = now.Add(time.Hour)
	if got, _ := th.Wait(ctx, "127.0.0.1"); got != 0 {
		t.Errorf("an hour later: %v", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	th := New(Config{MaxKeys: 100})
	for i := range 1000 {
		_ = th.Failed(t.Context(), fmt.Sprint(i))
	}
	if len(th.keys) > 100 {
		t.Errorf("%d keys", len(th.keys))
	}
}

func TestLimiter(t *testing.T) {
	l := NewLimiter(10, 3)
	for i := range 3 {
		if wait, _ := l.Take(t.Context(), "aki"); wait != 0 {
			t.Errorf("turn %d must wait %v", i, wait)
		}
	}
	if wait, _ := l.Take(t.Context(), "aki"); wait <= 0 || wait > 100*time.Millisecond {
		t.Errorf("the fourth waits %v", wait)
	}
	if wait, _ := l.Take(t.Context(), "ben"); wait != 0 {
		t.Errorf("another key waits %v", wait)
	}
	l.maxKeys = 100
	for i := range 1000 {
		_, _ = l.Take(t.Context(), fmt.Sprint(i))
	}
	if len(l.keys) > 100 {
		t.Errorf("%d keys", len(l.keys))
	}
}

package throttle

import (
	"fmt"
	"testing"
	"time"
)

func TestMemoryIsBounded(t *testing.T) {
	th := New(Config{MaxKeys: 100})
	for i := range 1000 {
		_, _ = th.Try(t.Context(), fmt.Sprint(i))
	}
	if len(th.keys) > 100 {
		t.Errorf("%d keys", len(th.keys))
	}
}

func TestLimiter(t *testing.T) {
	l := NewLimiter(10, 3)
	for i := range 3 {
		if wait, _ := l.Take(t.Context(), "aki"); wait != 0 {
			t.Errorf("token %d must wait %v", i, wait)
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

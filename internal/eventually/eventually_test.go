package eventually_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

// recorder is a test that may fail. Its cleanups run when the real one ends.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure is how a wait failed, and how long it took.
func failure(wait func(tb testing.TB)) (text string, took time.Duration) {
	r, began, done := &recorder{}, time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		wait(r)
	}()
	<-done
	return r.failure, time.Since(began)
}

func TestWaitsForCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := make(chan int)
		time.AfterFunc(time.Minute, func() { close(late) })
		began := time.Now()
		eventually.True(t, "a minute", func() bool { return time.Since(began) > time.Minute })
		eventually.Nil(t, "a minute", func() error { return nil })
		if got := eventually.Receive(t, "a minute", late); got != 0 {
			t.Errorf("received %d", got)
		}
	})
}

func TestFailureNamesCondition(t *testing.T) {
	for name, wait := range map[string]func(tb testing.TB){
		"true":    func(tb testing.TB) { eventually.True(tb, "the cow", func() bool { return false }) },
		"nil":     func(tb testing.TB) { eventually.Nil(tb, "the cow", func() error { return errors.New("the cow") }) },
		"receive": func(tb testing.TB) { eventually.Receive(tb, "the cow", make(chan int)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				text, took := failure(wait)
				if !strings.Contains(text, "the cow") || took < eventually.Timeout {
					t.Errorf("after %v: %q", took, text)
				}
			})
		})
	}
}

package circuitbreaker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
)

var errNoAnswer = errors.New("no answer")

// An outage and its end are logged once each, also when the server answers now
// and then.
func TestLogsAnOutageOnce(t *testing.T) {
	var log bytes.Buffer
	b := circuitbreaker.New(slog.New(slog.NewTextHandler(&log, nil)), "outage", "recovered")
	now := time.Now()
	for i := range 100 {
		if now = now.Add(circuitbreaker.Cooldown); !b.Allow(now) {
			t.Fatal("no call is allowed after the cooldown")
		}
		if i%3 == 0 {
			b.Record(now, nil)
			continue
		}
		if i%3 == 2 && b.Allow(now) {
			t.Error("two calls are allowed at once")
		}
		b.Record(now, errNoAnswer)
		if b.Allow(now.Add(circuitbreaker.Cooldown - 1)) {
			t.Error("a call is allowed before the cooldown is over")
		}
	}
	if !b.Open() {
		t.Error("the breaker is not open")
	}
	for range 30 {
		now = now.Add(circuitbreaker.Cooldown)
		b.Record(now, nil)
	}
	got := log.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, `level=ERROR msg=outage error="no answer"`) || !strings.Contains(got, `level=INFO msg=recovered`) || b.Open() {
		t.Errorf("the log has %s", got)
	}
}

// Of a server that hangs the first callers learn it when their patience ends, and
// the others at once; one call a Cooldown finds out that it answers again.
func TestAwaitHangingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := circuitbreaker.New(slog.New(slog.DiscardHandler), "outage", "recovered")
		calls := 0
		hangs := func() <-chan struct{} {
			calls++
			return make(chan struct{})
		}
		const patience = 2 * time.Second
		wait := func(begin func() <-chan struct{}) (took time.Duration, err error) {
			began := time.Now()
			err = b.Await(t.Context(), patience, begin)
			return time.Since(began), err
		}
		if took, err := wait(hangs); took != patience || !errors.Is(err, circuitbreaker.ErrNoAnswer) || !b.Failing() {
			t.Errorf("the first caller: %v after %v", err, took)
		}
		for range 100 {
			if took, err := wait(hangs); took != 0 || !errors.Is(err, circuitbreaker.ErrNoAnswer) {
				t.Errorf("another caller: %v after %v", err, took)
			}
		}
		time.Sleep(circuitbreaker.Cooldown)
		took, err := wait(func() <-chan struct{} {
			calls++
			done := make(chan struct{})
			time.AfterFunc(patience/2, func() {
				b.Record(time.Now(), nil)
				close(done)
			})
			return done
		})
		if took != patience/2 || err != nil || b.Failing() || calls != 2 {
			t.Errorf("when it answers again: %v after %v; %d calls", err, took, calls)
		}
	})
}

// A server that is slow, but answers others meanwhile, does not hang.
func TestAwaitSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := circuitbreaker.New(slog.New(slog.DiscardHandler), "outage", "recovered")
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		stop := time.NewTimer(5*time.Second + time.Millisecond)
		go func() {
			for {
				select {
				case <-stop.C:
					return
				case <-time.After(500 * time.Millisecond):
					b.Record(time.Now(), nil)
				}
			}
		}()
		began := time.Now()
		err := b.Await(ctx, time.Second, func() <-chan struct{} { return make(chan struct{}) })
		if took := time.Since(began); took != 6*time.Second || !errors.Is(err, circuitbreaker.ErrNoAnswer) {
			t.Errorf("%v after %v; the last answer was after 5 s", err, took)
		}
	})
}

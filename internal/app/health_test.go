package app

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// A server that hangs has one check at a time, however often readiness is asked
// for, and stop waits for it.
func TestChecksOfAServerThatHangs(t *testing.T) {
	var c checks
	var running, most atomic.Int32
	hang := make(chan struct{})
	all := map[string]check{
		"well": func(context.Context) error { return nil },
		"ill":  func(context.Context) error { return errors.New("it is ill") },
		"hangs": func(context.Context) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-hang
			running.Add(-1)
			return nil
		},
	}
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		states := c.run(ctx, all, time.Minute)
		if got := c.start(ctx, "well", all["well"], time.Minute); got != nil {
			<-got.done
		}
		if got := c.start(ctx, "ill", all["ill"], time.Minute); got != nil {
			<-got.done
		}
		cancel()
		if got := states(); got["well"] != "ok" || got["ill"] != "it is ill" || got["hangs"] != "it does not answer in time" {
			t.Errorf("it says %v", got)
		}
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.stop()
		if running.Load() != 0 {
			t.Error("a check is under way after the stop")
		}
	}()
	for late := map[string]check{"late": all["well"]}; c.run(t.Context(), late, time.Minute)()["late"] != errStopped.Error(); {
		time.Sleep(time.Millisecond) // the stop begins
	}
	close(hang)
	<-stopped
	if most.Load() != 1 {
		t.Errorf("%d checks of one server at a time", most.Load())
	}
}

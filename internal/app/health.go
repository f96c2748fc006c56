package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// readyTimeout limits the readiness checks together; probes should have a
	// longer timeout.
	readyTimeout = 2 * time.Second
	// optionalTimeout limits the checks of optional servers: one that hangs must
	// not make this process look as if it hung.
	optionalTimeout = 300 * time.Millisecond
)

// check returns an error when a server is not available.
type check func(context.Context) error

// ready reports whether this process can work, and the state of each server that
// it uses. An optional server that is down does not make it unready: taking all
// processes out of the rotation would not help anybody.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	status, report := http.StatusOK, map[string]string{}
	required := a.checks.run(r.Context(), a.backends.required, readyTimeout)
	optional := a.checks.run(r.Context(), a.backends.optional, optionalTimeout)
	for name, state := range optional() {
		report[name] = state
	}
	for name, state := range required() {
		report[name] = state
		if state != stateOK {
			status = http.StatusServiceUnavailable
		}
	}
	if a.stopping.Load() {
		report["process"], status = "stopping", http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(report)
}

const stateOK = "ok"

// checks runs the readiness checks: one of each server at a time, whose result
// all get that ask meanwhile, so that the checks of a server that hangs do not
// accumulate.
type checks struct {
	mu      sync.Mutex
	running map[string]*checking
	stopped bool
	done    sync.WaitGroup
}

// checking is a check in progress.
type checking struct {
	done chan struct{}
	err  error // set before done closes
}

var errStopped = errors.New("the process has stopped")

// start starts a check, or returns the one in progress.
func (c *checks) start(ctx context.Context, name string, check check, timeout time.Duration) *checking {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.running[name]; one != nil {
		return one
	}
	one := &checking{done: make(chan struct{})}
	if c.stopped {
		one.err = errStopped
		close(one.done)
		return one
	}
	if c.running == nil {
		c.running = map[string]*checking{}
	}
	c.running[name] = one
	c.done.Go(func() {
		// Others may wait for the result when the caller has gone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		one.err = check(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, name)
		close(one.done)
	})
	return one
}

// stop waits for the checks in progress. It allows no more.
func (c *checks) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.done.Wait()
}

// run starts all checks at once. The function that it returns waits for them, at
// most for the timeout, and returns the state of each server by name.
func (c *checks) run(ctx context.Context, all map[string]check, timeout time.Duration) (states func() map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	started := make(map[string]*checking, len(all))
	for name, check := range all {
		started[name] = c.start(ctx, name, check, timeout)
	}
	return func() map[string]string {
		defer cancel()
		states := map[string]string{}
		for name, one := range started {
			select {
			case <-one.done:
			case <-ctx.Done():
			}
			select {
			case <-one.done:
				states[name] = stateOK
				if one.err != nil {
					states[name] = one.err.Error()
				}
			default:
				states[name] = "it does not answer in time"
			}
		}
		return states
	}
}

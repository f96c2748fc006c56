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
	// readyTimeout bounds what the checks of readiness may take together;
	// whoever probes should wait for longer.
	readyTimeout = 2 * time.Second
	// helpTimeout is how long they wait for a server that the process can do
	// without: one that hangs must not make it look as if it hung itself.
	helpTimeout = 300 * time.Millisecond
)

// check asks a server whether it is there.
type check func(context.Context) error

// ready tells whether this process can do its work, and how each server that
// it works with is. One that it can do without for a while does not make it
// unready: taking all processes out of the rotation would help nobody.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	status, report := http.StatusOK, map[string]string{}
	needs := a.checks.ask(r.Context(), a.parts.needs, readyTimeout)
	helps := a.checks.ask(r.Context(), a.parts.helps, helpTimeout)
	for name, state := range helps() {
		report[name] = state
	}
	for name, state := range needs() {
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

// checks runs what readiness is asked of: one check of a server at a time, of
// which all learn who ask meanwhile, so that those of one that hangs do not add
// up.
type checks struct {
	mu      sync.Mutex
	running map[string]*checking
	stopped bool
	done    sync.WaitGroup
}

// checking is a check under way.
type checking struct {
	done chan struct{}
	err  error // set before done closes
}

var errStopped = errors.New("the process has stopped")

// start starts a check, or gives the one that is under way.
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
		// Whoever asked may be gone before the others who wait for it.
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

// stop waits for the checks under way; there are none after it.
func (c *checks) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.done.Wait()
}

// ask starts all checks at once. What it returns waits for them, no longer than
// the timeout, and tells how each server is.
func (c *checks) ask(ctx context.Context, all map[string]check, timeout time.Duration) (states func() map[string]string) {
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

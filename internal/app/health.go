package app

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

const (
	// readyTimeout bounds what the checks of readiness may take together;
	// whoever probes should wait for longer.
	readyTimeout = 2 * time.Second
	// helpTimeout is how long they wait for a server that the process can do
	// without: one that hangs must not make it look as if it hung itself.
	optionalTimeout = 300 * time.Millisecond
)

// check asks a server whether it is there.
type check func(context.Context) error

// ready tells whether this process can do its work, and how each server that
// it works with is. One that it can do without for a while does not make it
// unready: taking all processes out of the rotation would help nobody.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	status, report := http.StatusOK, map[string]string{}
	needs := runChecks(r.Context(), a.backends.required, readyTimeout)
	helps := runChecks(r.Context(), a.backends.optional, optionalTimeout)
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

// runChecks starts all checks at once. What it returns waits for them, no longer than
// the timeout, and tells how each server is.
func runChecks(ctx context.Context, checks map[string]check, timeout time.Duration) (states func() map[string]string) {
	type answer struct{ name, state string }
	answers := make(chan answer, len(checks))
	ctx, cancel := context.WithTimeout(ctx, timeout)
	for name, ask := range checks {
		go func() {
			state := stateOK
			if err := ask(ctx); err != nil {
				state = err.Error()
			}
			answers <- answer{name, state}
		}()
	}
	return func() map[string]string {
		defer cancel()
		states := map[string]string{}
		for name := range checks {
			states[name] = "it does not answer in time"
		}
		for range checks {
			select {
			case a := <-answers:
				states[a.name] = a.state
			case <-ctx.Done():
				return states
			}
		}
		return states
	}
}

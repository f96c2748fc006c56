package app

import (
	"context"
	"encoding/json"
	"net/http"
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
	required := runChecks(r.Context(), a.backends.required, readyTimeout)
	optional := runChecks(r.Context(), a.backends.optional, optionalTimeout)
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

// runChecks starts all checks at once. The function that it returns waits for
// them, at most for the timeout, and returns the state of each server by name.
func runChecks(ctx context.Context, checks map[string]check, timeout time.Duration) (states func() map[string]string) {
	type result struct{ name, state string }
	results := make(chan result, len(checks))
	ctx, cancel := context.WithTimeout(ctx, timeout)
	for name, check := range checks {
		go func() {
			state := stateOK
			if err := check(ctx); err != nil {
				state = err.Error()
			}
			results <- result{name, state}
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
			case r := <-results:
				states[r.name] = r.state
			case <-ctx.Done():
				return states
			}
		}
		return states
	}
}

package app

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// readyTimeout bounds what one check of readiness may take.
const readyTimeout = 2 * time.Second

// ready tells whether this process can do its work, part by part.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	status := http.StatusOK
	report := map[string]string{}
	for name, check := range map[string]func(context.Context) error{
		"store":  a.parts.store.Ping,
		"broker": a.parts.broker.Ready,
	} {
		report[name] = "ok"
		if err := check(ctx); err != nil {
			report[name] = err.Error()
			status = http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(report)
}

package app

import (
	"context"
	"net/http"
	"net/http/pprof"
)

// startDebug serves profiles of this process on a separate address: they are for
// the operator, and must never be reachable on the public address.
func (a *App) startDebug(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return a.serveAuxiliary(ctx, "--debug-listen", a.cfg.DebugListen, mux, "/debug/pprof/")
}

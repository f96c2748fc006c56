// Package app is the only place that wires: it opens the parts, starts the
// roles that were asked for, and stops them in the opposite order. Nothing
// outside it knows which parts are embedded.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// App is a running process of Hikyaku.
type App struct {
	cfg     Config
	log     *slog.Logger
	parts   parts
	mux     *http.ServeMux
	metrics *prometheus.Registry
	checks  checks

	listener net.Listener
	server   *http.Server
	stopping atomic.Bool

	stops    []stop // in the order of starting
	failed   chan error
	stopOnce sync.Once
	stopErr  error
}

// parts are the backends of the ports that the roles work with.
type parts struct {
	store    store.Store
	broker   broker.Broker
	bus      pubsub.Bus
	presence presence.Presence
	announce *fanout.Announcer
	pushes   notifyqueue.Queue // nil without notifications
	sender   *webpush.Sender   // nil without notifications
	throttle api.Throttle      // of logging in
	sends    api.Limiter       // of messages through the API
	auth     *auth.Authenticator
	cursors  *cursor.Sealer

	// node is this process's name on the bus, unique in the installation.
	node string
	// alone tells that there is no other process to take over; in a cluster
	// there is.
	alone bool
	// early tells that the broker confirms before the store has decided, so
	// that names of messages are looked up first.
	early bool
	// needs are the servers without which the process does not do its work,
	// and helps those that it can do without for a while, by name.
	needs, helps map[string]check
}

// stop is how to end one thing that was started.
type stop struct {
	what string
	do   func(ctx context.Context) error
}

// Start opens the parts and starts the roles. When it returns an error,
// everything that it had started is stopped again.
func Start(ctx context.Context, cfg Config) (*App, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, log: cfg.Logger, mux: http.NewServeMux(), metrics: newMetrics(), failed: make(chan error, 1)}
	if err := a.start(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.Background(), cfg.Drain)
		defer cancel()
		return nil, errors.Join(err, a.Stop(stopCtx))
	}
	return a, nil
}

func (a *App) start(ctx context.Context) error {
	// The port first: it is the likeliest to be taken, and the cheapest to try.
	if err := a.listen(ctx); err != nil {
		return err
	}
	if err := a.startDebug(ctx); err != nil {
		return err
	}
	a.tuneMemory()
	if err := a.open(ctx); err != nil {
		return err
	}
	for _, role := range AllRoles {
		if !slices.Contains(a.cfg.Roles, role) {
			continue
		}
		if err := roles[role](ctx, a); err != nil {
			return fmt.Errorf("start the role %s: %w", role, err)
		}
	}
	if err := a.startMetrics(ctx); err != nil {
		return err
	}
	return a.serve()
}

// tuneMemory has a process that holds no sockets collect garbage more rarely
// than usual: its memory is a few batches, and would be gone through all the
// time. GOGC goes before it.
func (a *App) tuneMemory() {
	if os.Getenv("GOGC") == "" && !slices.Contains(a.cfg.Roles, RoleGateway) {
		debug.SetGCPercent(400)
	}
}

// open opens the parts that the roles need.
func (a *App) open(ctx context.Context) error {
	if !a.cfg.needsParts() {
		return nil
	}
	open := a.openEmbedded
	if a.cfg.clustered() {
		open = a.openCluster
	}
	if err := open(ctx); err != nil {
		return err
	}
	if err := a.openPush(ctx); err != nil {
		return err
	}
	a.parts.auth = auth.NewAuthenticator(auth.Config{Store: a.parts.store, Logger: a.log})
	a.parts.cursors = cursor.NewSealer(a.parts.store.Secret())
	return nil
}

// onStop has f called when the process stops, after everything that was
// started later has stopped.
func (a *App) onStop(what string, f func(ctx context.Context) error) {
	a.stops = append(a.stops, stop{what: what, do: f})
}

func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Addr is the address that the process listens on.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// URL is where a browser on this machine finds the page.
func (a *App) URL() string {
	addr := a.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

// Failed gives the error that ended a part of the process, if one did.
func (a *App) Failed() <-chan error { return a.failed }

// Stop stops everything in the opposite order of starting. It is idempotent.
// Requests under way are answered; the gateway tells its clients to go
// elsewhere and answers the sends in flight; what was taken in is handed on;
// then the parts close.
func (a *App) Stop(ctx context.Context) error {
	a.stopOnce.Do(func() {
		a.stopping.Store(true)
		var errs []error
		for _, s := range slices.Backward(a.stops) {
			if err := s.do(ctx); err != nil {
				errs = append(errs, fmt.Errorf("stop the %s: %w", s.what, err))
			}
		}
		a.checks.stop() // closing the parts has ended what hung
		a.stopErr = errors.Join(errs...)
	})
	return a.stopErr
}

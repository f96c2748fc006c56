// Package app wires the process together, and is the only package that does: it
// opens the backends, starts the configured roles, and stops them in reverse
// order. No other package knows which backends are embedded.
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
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// App is a running process of Hikyaku.
type App struct {
	cfg      Config
	log      *slog.Logger
	backends backends
	mux      *http.ServeMux
	metrics  *prometheus.Registry
	checks   checks
	gateway  atomic.Pointer[gateway.Gateway] // nil without this role

	listener net.Listener
	server   *http.Server
	stopping atomic.Bool

	stops    []stop // in start order
	failed   chan error
	stopOnce sync.Once
	stopErr  error
}

// backends are the backends of the ports, and the services made from them, that
// the roles use.
type backends struct {
	store       store.Store
	broker      broker.Broker
	bus         pubsub.Bus
	presence    presence.Presence
	announcer   *fanout.Announcer
	pushQueue   notifyqueue.Queue // nil without notifications
	sender      *webpush.Sender   // nil without notifications
	throttle    api.Throttle      // of log-ins
	auth        *auth.Authenticator
	cursors     *cursor.Sealer
	registering api.RegistrationLimiter      // the API's
	sendLimiter submission.Limiter           // shared by the gateway and the API
	refuser     *submission.Refuser          // shared by the gateway and the API
	idempotency *submission.IdempotencyCache // shared too; nil when the broker confirms only what the store has accepted

	// node is the name of this process on the bus, unique in the installation.
	node string
	// standalone is true when no other process can take over (embedded backends),
	// and false in a cluster.
	standalone bool
	// required are the servers without which the process cannot work, and optional
	// those that it can do without for a while, by name.
	required, optional map[string]check
}

// stop stops one thing that was started.
type stop struct {
	what string
	do   func(ctx context.Context) error
}

// Start opens the backends and starts the roles. When it returns an error, it has
// stopped everything that it had started.
func Start(ctx context.Context, cfg Config) (*App, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, log: cfg.Logger, mux: http.NewServeMux(), metrics: newMetrics(cfg), failed: make(chan error, 1)}
	if err := a.start(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.Background(), cfg.Drain)
		defer cancel()
		return nil, errors.Join(err, a.Stop(stopCtx))
	}
	return a, nil
}

func (a *App) start(ctx context.Context) error {
	// Listen first: the port is the most likely to fail, and the cheapest to try.
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

// tuneMemory makes a process without connections collect garbage less often than
// by default: its heap is only a few batches, and would be collected all the time.
// The environment variable GOGC has priority.
func (a *App) tuneMemory() {
	if os.Getenv("GOGC") == "" && !slices.Contains(a.cfg.Roles, RoleGateway) {
		debug.SetGCPercent(400)
	}
}

// open opens the backends that the roles need.
func (a *App) open(ctx context.Context) error {
	if !a.cfg.needsBackends() {
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
	a.backends.auth = auth.NewAuthenticator(auth.Config{Store: a.backends.store, Logger: a.log})
	a.backends.cursors = cursor.NewSealer(a.backends.store.Secret())
	a.backends.refuser = submission.NewRefuser(a.backends.store, a.log)
	a.runUntilStop("refusal of non-members", a.backends.refuser.Run)
	return nil
}

// onStop registers f to be called when the process stops, after everything that
// was started later has stopped. what names it in errors.
func (a *App) onStop(what string, f func(ctx context.Context) error) {
	a.stops = append(a.stops, stop{what: what, do: f})
}

// runUntilStop runs f until the process stops.
func (a *App) runUntilStop(what string, f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	a.onStop(what, func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Addr returns the address that the process listens on.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// URL returns the URL of the page for a browser on this machine.
func (a *App) URL() string {
	addr := a.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(addr.Port)) + strings.TrimSuffix(a.cfg.BasePath, "/")
}

// Failed returns a channel that receives the error of a role or server that ended
// unexpectedly. It receives one error at most.
func (a *App) Failed() <-chan error { return a.failed }

// Stop stops everything in the reverse of the start order. Running requests are
// answered; the gateway asks its clients to reconnect elsewhere and answers the
// sends in flight; accepted messages are passed on; then the backends are closed.
// It is idempotent.
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

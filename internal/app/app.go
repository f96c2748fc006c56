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
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/bus"
	busLocal "github.com/hikyaku-chat/hikyaku/internal/bus/local"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/delivery"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	presenceLocal "github.com/hikyaku-chat/hikyaku/internal/presence/local"
	"github.com/hikyaku-chat/hikyaku/internal/session"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/ui"
	"github.com/hikyaku-chat/hikyaku/internal/worker"
	"github.com/hikyaku-chat/hikyaku/web"
)

// App is a running process of Hikyaku.
type App struct {
	cfg   Config
	log   *slog.Logger
	parts parts
	mux   *http.ServeMux

	listener net.Listener
	server   *http.Server
	gateway  *gateway.Gateway

	stops    []stop // in the order of starting
	failed   chan error
	stopOnce sync.Once
	stopErr  error
}

// parts are the backends of the ports that the roles work with.
type parts struct {
	store    store.Store
	broker   broker.Broker
	bus      bus.Bus
	presence presence.Presence
	announce *delivery.Announcer
	auth     *session.Authenticator
	cursors  *cursor.Sealer
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
	a := &App{cfg: cfg, log: cfg.Logger, mux: http.NewServeMux(), failed: make(chan error, 1)}
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
	if err := a.openEmbedded(ctx); err != nil {
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
	a.serve()
	return nil
}

// onStop has f called when the process stops, after everything that was
// started later has stopped.
func (a *App) onStop(what string, f func(ctx context.Context) error) {
	a.stops = append(a.stops, stop{what: what, do: f})
}

func (a *App) listen(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.cfg.Listen)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("--listen: %s is in use by another program; stop it or choose another port", a.cfg.Listen)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("--listen: this user may not listen on %s; choose a port above 1023", a.cfg.Listen)
	case err != nil:
		return fmt.Errorf("--listen: cannot listen on %s: %w", a.cfg.Listen, err)
	}
	a.listener = l
	a.onStop("listener", func(context.Context) error {
		_ = l.Close() // the server has closed it, unless it never ran
		return nil
	})
	return nil
}

// openEmbedded opens the parts of a system in one process.
func (a *App) openEmbedded(ctx context.Context) error {
	if err := makeFolder(a.cfg.Data); err != nil {
		return err
	}
	release, err := lockData(a.cfg.Data)
	if err != nil {
		return err
	}
	a.onStop("data folder", func(context.Context) error { release(); return nil })
	st, err := OpenData(ctx, a.cfg.Data, serverNode, a.log)
	if err != nil {
		return err
	}
	a.onStop("store", func(context.Context) error { return st.Close() })
	a.parts.store = st
	b := busLocal.New(0)
	a.onStop("bus", func(context.Context) error { return b.Close() })
	a.parts.bus = b
	a.parts.presence = presenceLocal.New(nil)
	a.parts.broker = embedded.New(embedded.Config{Logger: a.log})
	a.parts.announce = delivery.NewAnnouncer(a.parts.bus, a.parts.presence, st, a.log)
	a.parts.auth = session.NewAuthenticator(session.Config{Store: st, Logger: a.log})
	a.parts.cursors = cursor.NewSealer(st.Secret())
	return nil
}

// roles starts each role. A stage sees its ports alone, never another stage.
var roles = map[Role]func(ctx context.Context, a *App) error{
	RoleWorker:  startWorker,
	RoleGateway: startGateway,
	RoleAPI:     startAPI,
	RoleUI:      startUI,
}

func startWorker(_ context.Context, a *App) error {
	w := worker.New(a.parts.store, a.parts.announce, a.log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := w.Run(ctx, a.parts.broker)
		if err != nil {
			a.fail(fmt.Errorf("the worker ended: %w", err))
		}
		done <- err
	}()
	a.onStop("worker", func(ctx context.Context) error {
		// What was taken in is stored before the worker goes.
		err := a.parts.broker.Close(ctx)
		cancel()
		return errors.Join(err, <-done)
	})
	return nil
}

func startGateway(ctx context.Context, a *App) error {
	cfg := a.cfg.Gateway
	cfg.Node, cfg.Version, cfg.Origins = "embedded", a.cfg.Version, a.cfg.Origins
	g, err := gateway.New(ctx, cfg, gateway.Parts{
		Auth: a.parts.auth, Store: a.parts.store, Publisher: a.parts.broker, Presence: a.parts.presence,
		Bus: a.parts.bus, Announce: a.parts.announce, Cursors: a.parts.cursors, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.gateway = g
	a.mux.Handle("GET /api/v1/socket", g)
	a.onStop("gateway", g.Stop)
	return nil
}

func startAPI(_ context.Context, a *App) error {
	hasher, err := password.NewHasher(password.Config{MemoryKiB: a.cfg.Hash.MemoryKiB, AtOnce: a.cfg.Hash.AtOnce})
	if err != nil {
		return err
	}
	h, err := api.New(api.Config{
		Store: a.parts.store, Publisher: a.parts.broker, Presence: a.parts.presence, Announce: a.parts.announce,
		Auth: a.parts.auth, Cursors: a.parts.cursors, Hasher: hasher, Throttle: throttle.New(throttle.Config{}), Sends: throttle.NewLimiter(a.cfg.Gateway.PerSecond, a.cfg.Gateway.Burst), Origins: a.cfg.Origins,
		Registration: api.Registration(a.cfg.Registration), Version: a.cfg.Version, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.mux.Handle("/api/", h)
	return nil
}

func startUI(_ context.Context, a *App) error {
	files, err := web.Files()
	if err != nil {
		return err
	}
	page, missing := ui.New(files)
	if missing != nil {
		// A binary without the page serves programs all the same.
		a.log.Warn("there is no page to serve", "reason", missing)
		a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, missing.Error(), http.StatusNotFound) })
		return nil //nolint:nilerr // told in the log, and to whoever asks for the page
	}
	a.mux.Handle("/", page)
	return nil
}

func (a *App) serve() {
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	a.mux.HandleFunc("GET /readyz", a.ready)
	a.server = &http.Server{
		Handler:           a.mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.fail(fmt.Errorf("the server ended: %w", err))
		}
	}()
	a.onStop("server", func(ctx context.Context) error {
		// Sockets are hijacked, so this waits for plain requests alone.
		err := a.server.Shutdown(ctx)
		<-done
		return err
	})
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
// The gateway refuses new sends first and answers those in flight; the broker
// is emptied; then the store closes.
func (a *App) Stop(ctx context.Context) error {
	a.stopOnce.Do(func() {
		var errs []error
		for _, s := range slices.Backward(a.stops) {
			if err := s.do(ctx); err != nil {
				errs = append(errs, fmt.Errorf("stop the %s: %w", s.what, err))
			}
		}
		a.stopErr = errors.Join(errs...)
	})
	return a.stopErr
}

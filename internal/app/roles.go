package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/ui"
	"github.com/hikyaku-chat/hikyaku/internal/worker"
	"github.com/hikyaku-chat/hikyaku/web"
)

// Role is a part of the system that a process can run.
type Role string

// The roles.
const (
	RoleGateway Role = "gateway" // serves WebSocket connections
	RoleAPI     Role = "api"     // serves the REST API
	RoleWorker  Role = "worker"  // stores messages
	RolePush    Role = "push"    // notifies offline users
	RoleUI      Role = "ui"      // serves the page
)

// AllRoles has every role, in start order.
var AllRoles = []Role{RolePush, RoleWorker, RoleGateway, RoleAPI, RoleUI}

// roles has the start function of each role. A role gets only the ports that it
// needs, never another role.
var roles = map[Role]func(ctx context.Context, a *App) error{
	RolePush:    startPush,
	RoleWorker:  startWorker,
	RoleGateway: startGateway,
	RoleAPI:     startAPI,
	RoleUI:      startUI,
}

func startPush(_ context.Context, a *App) error {
	if a.backends.sender == nil {
		return nil // notifications are switched off
	}
	n, err := notifier.New(notifier.Config{Store: a.backends.store, Locator: a.backends.presence, Sender: a.backends.sender, Delay: a.cfg.Push.Delay, Logger: a.log})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := n.Run(ctx, a.backends.pushQueue)
		if err != nil {
			a.fail(fmt.Errorf("the notifier ended: %w", err))
		}
		done <- err
	}()
	a.onStop("notifier", func(context.Context) error {
		cancel()
		return <-done
	})
	return nil
}

func startWorker(_ context.Context, a *App) error {
	w := worker.New(a.backends.store, a.backends.announcer, a.log)
	a.countBatches("store", w.Handled)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := w.Run(ctx, a.backends.broker)
		if err != nil {
			a.fail(fmt.Errorf("the worker ended: %w", err))
		}
		done <- err
	}()
	a.onStop("worker", func(ctx context.Context) error {
		var err error
		if a.backends.standalone {
			// All accepted messages are confirmed before the worker stops: there
			// is no other worker. In a cluster the broker confirms without a
			// worker, and closes later: a worker that drains may have to publish
			// dead letters.
			err = a.backends.broker.Close(ctx)
		}
		cancel()
		return errors.Join(err, <-done)
	})
	return nil
}

func startGateway(ctx context.Context, a *App) error {
	cfg := a.cfg.Gateway
	cfg.Node, cfg.Version, cfg.Origins = a.backends.node, a.cfg.Version, a.cfg.Origins
	cfg.Standalone = a.backends.standalone
	deps := gateway.Dependencies{
		Auth: a.backends.auth, Store: a.backends.store, Publisher: a.backends.broker, Presence: a.backends.presence,
		Bus: a.backends.bus, Announcer: a.backends.announcer, Cursors: a.backends.cursors,
		SendLimiter: a.backends.sendLimiter, Refuser: a.backends.refuser, Idempotency: a.backends.idempotency, Logger: a.log,
	}
	g, err := gateway.New(ctx, cfg, deps)
	if err != nil {
		return err
	}
	a.gateway.Store(g)
	a.mux.Handle("GET /api/v1/socket", g)
	a.mux.Handle("OPTIONS /api/v1/socket", g)
	a.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hikyaku_gateway_connections", Help: "Open WebSocket connections of this gateway.",
	}, func() float64 { return float64(g.Connections()) }))
	a.countBatches("socket-read", g.Reads)
	a.countBatches("socket-write", g.Writes)
	a.onStop("gateway", g.Stop)
	return nil
}

func startAPI(_ context.Context, a *App) error {
	hasher, err := password.NewHasher(a.cfg.Hash)
	if err != nil {
		return err
	}
	cfg := api.Config{
		Store: a.backends.store, Publisher: a.backends.broker, Presence: a.backends.presence, Announcer: a.backends.announcer,
		Auth: a.backends.auth, Cursors: a.backends.cursors, Hasher: hasher, Throttle: a.backends.throttle,
		Registering: a.backends.registering, SendLimiter: a.backends.sendLimiter, Refuser: a.backends.refuser, Idempotency: a.backends.idempotency, Origins: a.cfg.Origins,
		Registration: api.Registration(a.cfg.Registration), SetupToken: a.setupToken(), BasePath: a.cfg.BasePath, Version: a.cfg.Version, Logger: a.log,
	}
	if a.backends.sender != nil {
		cfg.Push = a.backends.sender
	}
	h, err := api.New(cfg)
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
	page, missing := ui.New(files, a.cfg.BasePath)
	if missing != nil {
		// A binary without the page still serves the API.
		a.log.Warn("there is no page to serve", "reason", missing)
		a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, missing.Error(), http.StatusNotFound) })
		return nil //nolint:nilerr // logged, and sent to whoever requests the page
	}
	a.mux.Handle("/", page)
	return nil
}

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

// Role is a part of the system that a process can play.
type Role string

// The roles.
const (
	RoleGateway Role = "gateway" // holds the sockets
	RoleAPI     Role = "api"     // serves the REST API
	RoleWorker  Role = "worker"  // stores messages
	RolePush    Role = "push"    // notifies those who are away
	RoleUI      Role = "ui"      // serves the page
)

// AllRoles is every role, in the order in which they start.
var AllRoles = []Role{RolePush, RoleWorker, RoleGateway, RoleAPI, RoleUI}

// roles starts each role. A stage sees its ports alone, never another stage.
var roles = map[Role]func(ctx context.Context, a *App) error{
	RolePush:    startPush,
	RoleWorker:  startWorker,
	RoleGateway: startGateway,
	RoleAPI:     startAPI,
	RoleUI:      startUI,
}

func startPush(_ context.Context, a *App) error {
	if a.parts.sender == nil {
		return nil // notifications are switched off
	}
	p, err := notifier.New(notifier.Config{Store: a.parts.store, Locator: a.parts.presence, Sender: a.parts.sender, Delay: a.cfg.Push.Delay, Logger: a.log})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := p.Run(ctx, a.parts.pushes)
		if err != nil {
			a.fail(fmt.Errorf("the pusher ended: %w", err))
		}
		done <- err
	}()
	a.onStop("pusher", func(context.Context) error {
		cancel()
		return <-done
	})
	return nil
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
		var err error
		if a.parts.alone {
			// What this process took in is confirmed before its worker goes:
			// there is no other. In a cluster the broker confirms without a
			// worker, and closes later: the worker that drains may have to
			// keep dead letters there.
			err = a.parts.broker.Close(ctx)
		}
		cancel()
		return errors.Join(err, <-done)
	})
	return nil
}

func startGateway(ctx context.Context, a *App) error {
	cfg := a.cfg.Gateway
	cfg.Node, cfg.Version, cfg.Origins = a.parts.node, a.cfg.Version, a.cfg.Origins
	cfg.Alone = a.parts.alone
	p := gateway.Parts{
		Auth: a.parts.auth, Store: a.parts.store, Publisher: a.parts.broker, Presence: a.parts.presence,
		Bus: a.parts.bus, Announce: a.parts.announce, Cursors: a.parts.cursors, Logger: a.log,
	}
	if a.parts.early {
		p.Messages = a.parts.store
	}
	g, err := gateway.New(ctx, cfg, p)
	if err != nil {
		return err
	}
	a.mux.Handle("GET /api/v1/socket", g)
	a.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hikyaku_gateway_connections", Help: "Sockets that are open on this gateway.",
	}, func() float64 { return float64(g.Connections()) }))
	a.onStop("gateway", g.Stop)
	return nil
}

func startAPI(_ context.Context, a *App) error {
	hasher, err := password.NewHasher(a.cfg.Hash)
	if err != nil {
		return err
	}
	cfg := api.Config{
		Store: a.parts.store, Publisher: a.parts.broker, LookUp: a.parts.early, Presence: a.parts.presence, Announce: a.parts.announce,
		Auth: a.parts.auth, Cursors: a.parts.cursors, Hasher: hasher, Throttle: a.parts.throttle,
		Sends: a.parts.sends, Origins: a.cfg.Origins,
		Registration: api.Registration(a.cfg.Registration), Version: a.cfg.Version, Logger: a.log,
	}
	if a.parts.sender != nil {
		cfg.Push = a.parts.sender
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/password"
)

// serveCommand has the server's settings.
type serveCommand struct {
	Listen         string        `default:"127.0.0.1:8080" help:"Address and port to listen on (${default})." placeholder:"ADDR"`
	Roles          []app.Role    `help:"Roles of this process: worker, gateway, api, push, ui (all)." placeholder:"ROLE"`
	Registration   string        `default:"open" enum:"open,invitation,closed" help:"Who may register: open, invitation or closed (${default}). The first account is made with the link that is printed at the start; it is an administrator."`
	SetupToken     string        `help:"Token with which the first account is made, from 16 characters (one of the installation's own). Other users can see a command line: prefer the environment variable HIKYAKU_SETUP_TOKEN, or a file." placeholder:"TOKEN"`
	SetupTokenFile string        `help:"File that holds --setup-token." placeholder:"FILE"`
	Registrations  int           `default:"10" help:"Accounts that may be made from one network in a minute, and three times as many at once (${default})." placeholder:"N"`
	Origins        []string      `help:"Origins of other web pages that may open sockets, such as https://chat.example.org." placeholder:"ORIGIN"`
	TrustedProxies []string      `help:"Addresses and ranges of the proxies in front of this process whose forwarded client address is trusted." placeholder:"RANGE"`
	HSTS           time.Duration `name:"hsts" default:"8760h" help:"How long browsers that came by HTTPS stay with it, for the whole host and all of its ports; not with a --base-path; 0 takes it back (${default})."`
	BasePath       string        `default:"/" help:"Path below which a proxy serves the installation, such as /chat/ (${default})." placeholder:"PATH"`
	Drain          time.Duration `default:"20s" help:"How long stopping may take (${default})."`

	Data                 string `default:"./data" group:"On one machine" help:"Folder for all data (${default})." placeholder:"DIR"`
	databaseFlags        `group:"As a cluster"`
	DatabaseReplicas     []string `group:"As a cluster" help:"PostgreSQL's streaming replicas, for history and search." placeholder:"URL"`
	DatabaseReplicasFile string   `group:"As a cluster" help:"File that holds --database-replicas, one address in a line." placeholder:"FILE"`
	DatabaseConnections  int      `group:"As a cluster" default:"8" help:"Connections to each PostgreSQL server, at most (${default})." placeholder:"N"`
	brokerFlags          `group:"As a cluster"`
	Linger               time.Duration `group:"As a cluster" default:"4ms" help:"How long a message waits for others at a gateway at most, where many are under way, and half as long at a worker; 0 for not at all (${default})."`
	DeadLetterRetention  time.Duration `group:"As a cluster" default:"720h" help:"How long RabbitMQ keeps a dead letter, 49 days at most (${default})."`
	MaxDeadLetters       int           `group:"As a cluster" default:"100000" help:"Dead letters that RabbitMQ keeps; the oldest are dropped (${default})." placeholder:"N"`
	Redis                string        `group:"As a cluster" help:"Redis: redis://:password@host:6379/0, redis+sentinel://host:26379,host:26379/master or redis+cluster://host:6379,host:6379." placeholder:"URL"`
	RedisFile            string        `group:"As a cluster" help:"File that holds --redis." placeholder:"FILE"`

	Rate          float64       `group:"Limits" default:"20" help:"Sustained messages per second of one user (${default})."`
	Burst         int           `group:"Limits" default:"60" help:"Burst of messages of one user (${default})."`
	InFlight      int           `group:"Limits" default:"128" help:"Unanswered messages of one connection (${default})."`
	Connections   int           `group:"Limits" default:"50" help:"Connections of one user (${default})."`
	Heartbeat     time.Duration `group:"Limits" default:"3s" help:"Interval of heartbeats of clients that sent or missed something (${default})."`
	MaxHeartbeat  time.Duration `group:"Limits" default:"30s" help:"Interval of heartbeats of quiet clients (${default})."`
	CheckInterval time.Duration `group:"Limits" default:"3m" help:"How often a device is compared with the database without a reason (${default})."`
	GoodbyeSpread time.Duration `group:"Limits" default:"5s" help:"A stopping gateway asks its clients to reconnect, spread over this time (${default})."`
	PushContact   string        `group:"Notifications" default:"https://github.com/hikyaku-chat/hikyaku" help:"Contact address for the push services of browsers, as mailto:you@example.org or https://example.org/contact; empty for no notifications (${default})." placeholder:"ADDRESS"`
	PushDelay     time.Duration `group:"Notifications" default:"5s" help:"Delay before an unread message is notified (${default})."`
	PushPrivate   bool          `group:"Notifications" help:"Allow notifications to private addresses, for your own push service."`

	HashMemory int `group:"Limits" default:"19456" help:"KiB of memory for hashing one password (${default})." placeholder:"KIB"`
	HashAtOnce int `group:"Limits" default:"4" help:"Passwords hashed concurrently (${default})." placeholder:"N"`

	MetricsListen string `group:"Log" help:"Address and port for metrics (Prometheus, /metrics); do not expose it to the internet (none)." placeholder:"ADDR"`
	DebugListen   string `group:"Log" help:"Address and port for profiles (pprof); do not expose it to the internet (none)." placeholder:"ADDR"`

	LogLevel  slog.Level `group:"Log" default:"info" help:"Lowest level that is logged: debug, info, warn or error (${default})."`
	LogFormat string     `group:"Log" default:"text" enum:"text,json" help:"Format of the log: text or json (${default})."`
}

// config converts the settings into an app.Config.
func (c *serveCommand) config() (cfg app.Config, err error) {
	limits, hashes := gateway.Config{}.WithDefaults(), password.Config{}.WithDefaults()
	limits.PerSecond, limits.Burst, limits.InFlight, limits.ConnectionsPerUser = c.Rate, c.Burst, c.InFlight, c.Connections
	limits.Heartbeat, limits.MaxHeartbeat, limits.CheckInterval = c.Heartbeat, max(c.MaxHeartbeat, c.Heartbeat), c.CheckInterval
	limits.GoodbyeSpread = c.GoodbyeSpread
	hashes.MemoryKiB, hashes.Concurrency = c.HashMemory, c.HashAtOnce
	cfg = app.Config{
		Listen: c.Listen, DebugListen: c.DebugListen, MetricsListen: c.MetricsListen, Roles: c.Roles, Registration: c.Registration, Registrations: c.Registrations, Origins: c.Origins, TrustedProxies: c.TrustedProxies,
		BasePath: c.BasePath, HSTS: c.HSTS,
		Drain: c.Drain, Version: version(), Data: c.Data,
		Gateway: limits, Hash: hashes,
		Push:                app.PushConfig{Contact: c.PushContact, Delay: c.PushDelay, AllowPrivate: c.PushPrivate},
		DatabaseConnections: c.DatabaseConnections, Partitions: c.Partitions, Linger: c.Linger,
		DeadLetterRetention: c.DeadLetterRetention, MaxDeadLetters: c.MaxDeadLetters,
	}
	if cfg.Database, err = c.url(); err != nil {
		return cfg, err
	}
	if cfg.Replicas, err = secrets("database-replicas", c.DatabaseReplicas, c.DatabaseReplicasFile); err != nil {
		return cfg, err
	}
	if cfg.Brokers, err = c.urls(); err != nil {
		return cfg, err
	}
	if cfg.Redis, err = secret("redis", c.Redis, c.RedisFile); err != nil {
		return cfg, err
	}
	cfg.SetupToken, err = secret("setup-token", c.SetupToken, c.SetupTokenFile)
	return cfg, err
}

func newLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Run serves until the process is asked to stop.
func (c *serveCommand) Run(ctx context.Context, std streams) error {
	log := newLogger(std.err, c.LogLevel, c.LogFormat)
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.Logger = log
	a, err := app.Start(ctx, cfg)
	if err != nil {
		return err
	}
	if err := announce(ctx, std, a, slices.Contains(cfg.Roles, app.RoleUI) || len(cfg.Roles) == 0); err != nil {
		return errors.Join(err, c.stop(a))
	}
	var failure error
	select {
	case <-ctx.Done():
		log.Info("stopping", "at most", c.Drain)
	case failure = <-a.Failed():
		log.Error("stopping because a part failed", "error", failure)
	}
	if err := c.stop(a); err != nil && failure == nil {
		return err
	}
	if failure == nil {
		_, _ = fmt.Fprintln(std.out, "Hikyaku has stopped.")
	}
	return failure
}

func (c *serveCommand) stop(a *app.App) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.Drain)
	defer cancel()
	return a.Stop(ctx)
}

// announce says where the process is, and how the first account is made when there is
// none.
func announce(ctx context.Context, std streams, a *app.App, servesPage bool) error {
	setup, err := a.SetupPath(ctx)
	if err != nil {
		return err
	}
	if servesPage {
		_, _ = fmt.Fprintf(std.out, "Hikyaku %s is ready: open %s%s\n", version(), a.URL(), setup)
	} else {
		_, _ = fmt.Fprintf(std.out, "Hikyaku %s is ready on %s\n", version(), a.Addr())
	}
	switch {
	case setup != "" && servesPage:
		_, _ = fmt.Fprintln(std.out, "There is no account yet. The first one administers the installation, and only this link makes it.")
	case setup != "":
		_, _ = fmt.Fprintf(std.out, "There is no account yet. The first one administers the installation, and is made on its page at %s\n", setup)
	}
	return nil
}

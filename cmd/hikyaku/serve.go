package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
)

// serveCommand is the server's settings.
type serveCommand struct {
	Listen       string        `default:"127.0.0.1:8080" help:"Address and port to listen on (${default})." placeholder:"ADDR"`
	Data         string        `default:"./data" help:"Folder that holds everything (${default})." placeholder:"DIR"`
	Roles        []app.Role    `help:"Parts of the system that this process plays: worker, gateway, api, ui (all)." placeholder:"ROLE"`
	Registration string        `default:"open" enum:"open,invitation,closed" help:"Who may make an account: open, invitation or closed (${default}). The first account can always be made; it administers the installation."`
	Origins      []string      `help:"Origins of pages elsewhere that may open sockets, such as https://chat.example.org." placeholder:"ORIGIN"`
	Drain        time.Duration `default:"20s" help:"How long a stop may take (${default})."`

	Rate        float64       `default:"20" help:"Messages per second of one user, in the long run (${default})."`
	Burst       int           `default:"60" help:"Messages of one user at once (${default})."`
	InFlight    int           `default:"128" help:"Unanswered messages of one connection (${default})."`
	Connections int           `default:"50" help:"Connections of one user (${default})."`
	Heartbeat   time.Duration `default:"3s" help:"Time between a client's heartbeats (${default})."`

	HashMemory int `default:"19456" help:"KiB of memory for hashing one password (${default})." placeholder:"KIB"`
	HashAtOnce int `default:"4" help:"Passwords hashed side by side (${default})." placeholder:"N"`

	LogLevel  slog.Level `default:"info" help:"Least level that is logged: debug, info, warn or error (${default})."`
	LogFormat string     `default:"text" enum:"text,json" help:"Form of the log: text or json (${default})."`
}

func newLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Run serves until the process is told to stop.
func (c *serveCommand) Run(ctx context.Context, std streams) error {
	log := newLogger(std.err, c.LogLevel, c.LogFormat)
	a, err := app.Start(ctx, app.Config{
		Listen: c.Listen, Data: c.Data, Roles: c.Roles, Registration: c.Registration, Origins: c.Origins,
		Drain: c.Drain, Version: version(), Logger: log,
		Gateway: gateway.Config{
			PerSecond: c.Rate, Burst: c.Burst, InFlight: c.InFlight, PerUser: c.Connections, Heartbeat: c.Heartbeat,
		},
		Hash: app.HashConfig{MemoryKiB: c.HashMemory, AtOnce: c.HashAtOnce},
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(std.out, "Hikyaku %s is ready: open %s\n", version(), a.URL())
	var failure error
	select {
	case <-ctx.Done():
		log.Info("stopping", "at most", c.Drain)
	case failure = <-a.Failed():
		log.Error("stopping because a part failed", "error", failure)
	}
	stopCtx, cancel := context.WithTimeout(context.Background(), c.Drain)
	defer cancel()
	if err := a.Stop(stopCtx); err != nil && failure == nil {
		return err
	}
	if failure == nil {
		_, _ = fmt.Fprintln(std.out, "Hikyaku has stopped.")
	}
	return failure
}

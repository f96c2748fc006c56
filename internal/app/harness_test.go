package app_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/password"
)

const patience = acceptance.Timeout

// testConfig returns the configuration of a whole system on a free port, with its
// data in a temporary folder and cheap password hashing.
func testConfig(t testing.TB) app.Config {
	return app.Config{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Registration: "open", Registrations: 100_000, SetupToken: acceptance.SetupToken, Drain: 10 * time.Second,
		Hash: password.Config{MemoryKiB: 64, Concurrency: 8}.WithDefaults(), Version: "test",
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Push:   app.PushConfig{Delay: 5 * time.Second},
		Gateway: gateway.Config{
			PerSecond: 1e6, Burst: 1e6, InFlight: 1000, ConnectionsPerUser: 50, Heartbeat: 300 * time.Millisecond,
			GoodbyeSpread: 5 * time.Second, IdleTimeout: patience, AwayGrace: 50 * time.Millisecond,
		}.WithDefaults(),
	}
}

// testWriter writes the log to the test's log while the test runs.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // the test has ended
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func start(t testing.TB, cfg app.Config) *app.App {
	t.Helper()
	a, err := app.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, a) })
	return a
}

func stop(t testing.TB, a *app.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

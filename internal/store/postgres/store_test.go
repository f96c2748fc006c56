package postgres_test

import (
	"log/slog"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func openAt(tb testing.TB, cfg postgres.Config) *postgres.Store {
	tb.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	s, err := postgres.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func migrated(tb testing.TB) string {
	tb.Helper()
	url := stacktest.Database(tb)
	if err := postgres.Migrate(tb.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
	return url
}

func harness(tb testing.TB) storetest.Harness {
	cfg := postgres.Config{URL: migrated(tb)}
	current := openAt(tb, cfg)
	return storetest.Harness{Store: current, Reopen: func() store.Store {
		if err := current.Close(); err != nil {
			tb.Error(err)
		}
		current = openAt(tb, cfg)
		return current
	}}
}

func TestStore(t *testing.T) { storetest.Run(t, harness) }

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, harness) }

package sqlite_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/snowflake"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/sqlite"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetest"
)

func config(tb testing.TB, path string) sqlite.Config {
	tb.Helper()
	maker, err := snowflake.NewGenerator(1, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return sqlite.Config{Path: path, NewID: maker.Next, Logger: slog.New(slog.DiscardHandler)}
}

func openAt(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	return openWith(tb, config(tb, path))
}

func openWith(tb testing.TB, cfg sqlite.Config) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), cfg)
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

func harness(tb testing.TB) storetest.Harness {
	path := filepath.Join(tb.TempDir(), "hikyaku.db")
	clock := new(storetest.Clock)
	cfg := config(tb, path)
	cfg.Now = clock.Now
	current := openWith(tb, cfg)
	return storetest.Harness{HistoriesPercent: 50, Store: current, Clock: clock, Reopen: func() store.Store {
		if err := current.Close(); err != nil {
			tb.Error(err)
		}
		current = openWith(tb, cfg)
		return current
	}, Beside: func() store.Store { return openWith(tb, cfg) }}
}

func TestStore(t *testing.T) { storetest.Run(t, harness) }

func TestRetention(t *testing.T) {
	storetest.RunRetention(t, func(now func() time.Time) store.Store {
		cfg := config(t, filepath.Join(t.TempDir(), "hikyaku.db"))
		cfg.Now = now
		s, err := sqlite.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, harness) }

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
	s, err := sqlite.Open(tb.Context(), config(tb, path))
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
	current := openAt(tb, path)
	return storetest.Harness{HistoriesPercent: 50, Store: current, Reopen: func() store.Store {
		if err := current.Close(); err != nil {
			tb.Error(err)
		}
		current = openAt(tb, path)
		return current
	}}
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

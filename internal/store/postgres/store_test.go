package postgres_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
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

// template is a database that was migrated once and is copied for each test.
var template struct {
	sync.Mutex
	name string
}

var copies atomic.Int64

// newDatabase returns the address of a new database that has the schema and no
// data. Copying one takes a tenth of the time of migrating. The installation's id
// and secret are not copied: every database has its own.
func newDatabase(tb testing.TB) string {
	tb.Helper()
	server := stacktest.Postgres(tb)
	template.Lock()
	defer template.Unlock()
	if template.name == "" {
		url := stacktest.Database(tb)
		if err := postgres.Migrate(tb.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
			tb.Fatal(err)
		}
		template.name = databaseOf(url)
	}
	name := fmt.Sprint("copy", copies.Add(1))
	if err := server.Exec(tb.Context(), "postgres", "CREATE DATABASE "+name+" TEMPLATE "+template.name); err != nil {
		tb.Fatal(err)
	}
	// Otherwise replicas would copy it, and it would be written at the end.
	tb.Cleanup(func() {
		if err := server.Exec(eventually.Context(tb), "postgres", "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	if err := server.Exec(tb.Context(), name, `UPDATE installation SET id = gen_random_uuid(), secret = sha256(uuid_send(gen_random_uuid()))`); err != nil {
		tb.Fatal(err)
	}
	return server.URL(name)
}

// newHarness returns harnesses whose stores use the address that url makes of a
// new database's. Properties are checked with the given percentage of random
// histories.
func newHarness(historiesPercent int, url func(url string) string) func(tb testing.TB) storetest.Harness {
	return func(tb testing.TB) storetest.Harness {
		clock := new(storetest.Clock)
		cfg := postgres.Config{URL: url(newDatabase(tb)), Now: clock.Now}
		current := openAt(tb, cfg)
		return storetest.Harness{HistoriesPercent: historiesPercent, Store: current, Clock: clock, Reopen: func() store.Store {
			if err := current.Close(); err != nil {
				tb.Error(err)
			}
			current = openAt(tb, cfg)
			return current
		}, Beside: func() store.Store { return openAt(tb, cfg) }}
	}
}

// Each call goes to a server, which is slow on few processors; the rules are the
// same in every backend. For more histories: -rapid.checks=1000.
var harness = newHarness(25, func(url string) string { return url })

func TestStore(t *testing.T) { storetest.Run(t, harness) }

func TestRetention(t *testing.T) {
	storetest.RunRetention(t, func(now func() time.Time) store.Store {
		return openAt(t, postgres.Config{URL: newDatabase(t), Now: now})
	})
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, harness) }

package postgres_test

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// Each call goes to a server, which is slow on few processors; the rules are the
// same in every backend. For more histories: -rapid.checks=1000.
var harness = postgrestest.NewHarness(25, func(url string) string { return url })

func TestStore(t *testing.T) { storetest.Run(t, harness) }

func TestRetention(t *testing.T) {
	storetest.RunRetention(t, func(now func() time.Time) store.Store {
		return postgrestest.Open(t, postgres.Config{URL: postgrestest.NewDatabase(t), Now: now})
	})
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, harness) }

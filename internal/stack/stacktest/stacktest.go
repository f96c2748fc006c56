// Package stacktest gives tests real servers: one of each kind for a test
// binary, started when it is first asked for, and in it a database, a virtual
// host or a key prefix for each test. A server that is not installed fails the
// test: scripts/servers installs it.
package stacktest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// startTimeout bounds the start of a server, on a machine that is busy with
// other tests.
const startTimeout = 2 * time.Minute

var (
	counter atomic.Int64
	folder  = sync.OnceValues(stack.NewFolder)

	postgres = lazily(func(ctx context.Context, f *stack.Folder) (*stack.Postgres, error) {
		return stack.StartPostgres(ctx, f, "postgresql")
	})
	redis = lazily(func(ctx context.Context, f *stack.Folder) (*stack.Redis, error) {
		return stack.StartRedis(ctx, f, "redis")
	})
	redisCluster = lazily(stack.StartRedisCluster)
	rabbitmq     = lazily(func(ctx context.Context, f *stack.Folder) (*stack.RabbitMQ, error) {
		nodes, err := stack.StartRabbitMQ(ctx, f, 1)
		if err != nil {
			return nil, err
		}
		return nodes[0], nil
	})
)

// lazily makes a server that is started once, by the first test that asks.
func lazily[T any](start func(ctx context.Context, f *stack.Folder) (T, error)) func(tb testing.TB) T {
	once := sync.OnceValues(func() (server T, err error) {
		f, err := folder()
		if err != nil {
			return server, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		return start(ctx, f)
	})
	return func(tb testing.TB) T {
		tb.Helper()
		SkipIfShort(tb)
		server, err := once()
		if err != nil {
			tb.Fatal(err)
		}
		return server
	}
}

// SkipIfShort skips a test under -short, with which `make test-unit` runs. Tests
// that start servers call it, and those that take seconds. Without -short, as
// `make test` runs, none is skipped.
func SkipIfShort(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short: left to make test")
	}
}

// Main runs the tests and stops the servers that they started. A package that
// uses stacktest calls it from its TestMain.
func Main(m *testing.M) { os.Exit(run(m)) }

// MainNoLeaks is Main, and fails when goroutines are left in the end.
func MainNoLeaks(m *testing.M) {
	code := run(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func run(m *testing.M) (code int) {
	code = m.Run()
	if f, err := folder(); err == nil {
		if err := f.Close(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	return code
}

func unique(prefix string) string { return fmt.Sprintf("%s%d", prefix, counter.Add(1)) }

// Postgres is the test binary's PostgreSQL.
func Postgres(tb testing.TB) *stack.Postgres {
	tb.Helper()
	return postgres(tb)
}

// Database is the address of an empty database of the test's own.
func Database(tb testing.TB) string {
	tb.Helper()
	url, err := postgres(tb).CreateDatabase(tb.Context(), unique("test"))
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// Redis is the test binary's Redis.
func Redis(tb testing.TB) *stack.Redis {
	tb.Helper()
	return redis(tb)
}

// RedisCluster is the test binary's Redis Cluster.
func RedisCluster(tb testing.TB) *stack.RedisCluster {
	tb.Helper()
	return redisCluster(tb)
}

// RabbitMQ is the test binary's RabbitMQ.
func RabbitMQ(tb testing.TB) *stack.RabbitMQ {
	tb.Helper()
	return rabbitmq(tb)
}

// VHost is the address of a virtual host of the test's own.
func VHost(tb testing.TB) string {
	tb.Helper()
	url, err := rabbitmq(tb).CreateVHost(tb.Context(), unique("test"))
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// As is the address of a server for somebody else.
func As(url, user, password string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	return scheme + "://" + user + ":" + password + rest[strings.LastIndex(rest, "@"):]
}

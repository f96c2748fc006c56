// Package stacktest provides tests with real servers: one of each kind for a
// test binary, started on first use, and in it a database, a virtual host or a
// key prefix for each test. A server that is not installed fails the test;
// scripts/servers installs it.
package stacktest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

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

// lazily returns a function that starts a server once, on first use.
func lazily[T any](start func(ctx context.Context, f *stack.Folder) (T, error)) func(tb testing.TB) T {
	once := sync.OnceValues(func() (server T, err error) {
		f, err := folder()
		if err != nil {
			return server, err
		}
		return start(context.Background(), f) // which has bounds of its own
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

// SkipIfShort skips a test with -short, as in `make test-unit`. Tests that
// start servers, or take seconds, call it. `make test` skips none.
func SkipIfShort(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short: left to make test")
	}
}

// Folder returns a folder for servers that the test has for itself, so that it may
// stop them. They end with the test.
func Folder(tb testing.TB) *stack.Folder {
	tb.Helper()
	SkipIfShort(tb)
	f, err := stack.NewFolder()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := f.Close(); err != nil {
			tb.Error(err)
		}
	})
	return f
}

// Main runs the tests and stops the servers that they started. A package that
// uses stacktest must call it from its TestMain.
func Main(m *testing.M) { os.Exit(run(m)) }

// MainNoLeaks is Main, and fails when goroutines are left.
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

// Postgres returns the test binary's PostgreSQL.
func Postgres(tb testing.TB) *stack.Postgres {
	tb.Helper()
	return postgres(tb)
}

// Database returns the address of an empty database for the test.
func Database(tb testing.TB) string {
	tb.Helper()
	url, err := postgres(tb).CreateDatabase(tb.Context(), unique("test"))
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// Redis returns the test binary's Redis.
func Redis(tb testing.TB) *stack.Redis {
	tb.Helper()
	return redis(tb)
}

// RedisCluster returns the test binary's Redis Cluster.
func RedisCluster(tb testing.TB) *stack.RedisCluster {
	tb.Helper()
	return redisCluster(tb)
}

// RabbitMQ returns the test binary's RabbitMQ.
func RabbitMQ(tb testing.TB) *stack.RabbitMQ {
	tb.Helper()
	return rabbitmq(tb)
}

// VHost returns the address of a virtual host for the test.
func VHost(tb testing.TB) string {
	tb.Helper()
	url, err := rabbitmq(tb).CreateVHost(tb.Context(), unique("test"))
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// WithCredentials returns a server's address with another user and password.
func WithCredentials(url, user, password string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	return scheme + "://" + user + ":" + password + rest[strings.LastIndex(rest, "@"):]
}

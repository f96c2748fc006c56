package redisthrottle_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/throttle/redisthrottle"
	"github.com/hikyaku-chat/hikyaku/internal/throttle/throttletest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func connect(tb testing.TB, url string) *redisconn.Client {
	tb.Helper()
	c, err := redisconn.Open(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// logRecorder keeps what is logged.
type logRecorder struct {
	mu      sync.Mutex
	entries []string
}

func (j *logRecorder) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, string(b))
	return len(b), nil
}

func (j *logRecorder) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.entries
}

func (j *logRecorder) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// failOnLog returns a logger that fails the test when anything is logged: while
// Redis is available, the tests must test Redis and not the memory of a process.
func failOnLog(tb testing.TB) *slog.Logger {
	j := &logRecorder{}
	tb.Cleanup(func() {
		for _, entry := range j.all() {
			tb.Error(entry)
		}
	})
	return j.logger()
}

// harness simulates two processes, each with its own connection.
func harness(t *testing.T, url string) throttletest.Harness {
	log := failOnLog(t)
	clients := []*redisconn.Client{connect(t, url), connect(t, url)}
	var names atomic.Int64
	return throttletest.Harness{
		Limiters: func(_ *testing.T, perSecond float64, burst int, now func() time.Time) (out []throttletest.Limiter) {
			name := fmt.Sprint("test", names.Add(1))
			for _, client := range clients {
				out = append(out, redisthrottle.New(client, log).WithLongTimeout().WithNow(now).Limiter(name, perSecond, burst))
			}
			return out
		},
		Throttles: func(_ *testing.T, cfg throttle.Config) (out []throttletest.Throttle) {
			for _, client := range clients {
				out = append(out, redisthrottle.New(client, log).WithLongTimeout().WithNow(cfg.Now).Throttle(cfg))
			}
			return out
		},
	}
}

func TestConformance(t *testing.T) {
	throttletest.Run(t, harness(t, stacktest.Redis(t).URL()+"/1"))
}

func TestConformanceOnCluster(t *testing.T) {
	throttletest.Run(t, harness(t, stacktest.RedisCluster(t).URL()))
}

func take(t *testing.T, l *redisthrottle.Limiter, key string) time.Duration {
	t.Helper()
	wait, err := l.Take(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

func try(t *testing.T, th *redisthrottle.Throttle, keys ...string) time.Duration {
	t.Helper()
	d, err := th.Try(t.Context(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fail makes an attempt that is allowed and fails.
func fail(t *testing.T, th *redisthrottle.Throttle, keys ...string) {
	t.Helper()
	if wait := try(t, th, keys...); wait != 0 {
		t.Errorf("the attempt must wait %v", wait)
	}
}

// ttls returns the time to live of each key in a database.
func ttls(t *testing.T, c *redisconn.Client) map[string]time.Duration {
	t.Helper()
	keys, err := c.Do(t.Context(), c.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]time.Duration{}
	for _, key := range keys {
		ms, err := c.Do(t.Context(), c.B().Pttl().Key(key).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		if ms != -2 { // gone meanwhile
			out[key] = time.Duration(ms) * time.Millisecond
		}
	}
	return out
}

// Keys expire as soon as they no longer matter, and do not contain names.
func TestKeys(t *testing.T) {
	c := connect(t, stacktest.Redis(t).URL()+"/2")
	if err := c.Do(t.Context(), c.B().Flushdb().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	limits := redisthrottle.New(c, failOnLog(t)).WithLongTimeout()
	long := "name:aki" + strings.Repeat("x", 100_000)
	slow, quick := limits.Limiter("slow", 0.01, 3), limits.Limiter("quick", 20, 3)
	throttle := limits.Throttle(throttle.Config{ForgetAfter: time.Hour})
	for _, key := range []string{"name:aki", long} {
		if wait := take(t, slow, key); wait != 0 {
			t.Errorf("the first waits %v", wait)
		}
		if wait := take(t, quick, key); wait != 0 {
			t.Errorf("the first of another limiter waits %v", wait)
		}
		fail(t, throttle, key)
		fail(t, throttle, key)
		if err := throttle.Cancel(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for key, life := range ttls(t, c) {
		if !strings.HasPrefix(key, "hikyaku:") || strings.Contains(key, "aki") && strings.Contains(key, "name") || len(key) > 64 {
			t.Errorf("a key is %q", key)
		}
		most := 50 * time.Millisecond
		switch {
		case strings.Contains(key, ":slow:"):
			most, seen = 100*time.Second, seen+1
		case strings.Contains(key, ":failures:"):
			most, seen = time.Hour, seen+1
		}
		// Redis uses whole milliseconds.
		if life < 0 || life > most+2*time.Millisecond {
			t.Errorf("%s lives for %v, not for %v", key, life, most)
		}
	}
	if seen != 4 {
		t.Errorf("%d keys are there, want 4 that last", seen)
	}
	eventually.True(t, "full buckets are deleted", func() bool { return len(ttls(t, c)) == 4 })
	if err := throttle.Reset(t.Context(), "name:aki", long); err != nil {
		t.Fatal(err)
	}
	if left := ttls(t, c); len(left) != 2 {
		t.Errorf("%v are left after a success", left)
	}
}

// With Redis' own clock, the processes together get no more than one would.
func TestRealTime(t *testing.T) {
	const perSecond, burst = 200, 10
	url, log := stacktest.Redis(t).URL()+"/3", failOnLog(t)
	var given atomic.Int64
	var takers sync.WaitGroup
	start := time.Now()
	for range 2 {
		l := redisthrottle.New(connect(t, url), log).WithLongTimeout().Limiter("sends", perSecond, burst)
		for range 4 {
			takers.Go(func() {
				for time.Since(start) < 500*time.Millisecond {
					switch wait, err := l.Take(context.Background(), "aki"); {
					case err != nil:
						t.Error(err)
					case wait == 0:
						given.Add(1)
					case wait > time.Second/perSecond+time.Millisecond:
						t.Errorf("the wait is %v", wait)
					default:
						time.Sleep(wait)
					}
				}
			})
		}
	}
	takers.Wait()
	// All of it is within the time measured here. Two more are allowed for a clock
	// that is being corrected.
	most := burst + perSecond*time.Since(start).Seconds() + 2
	if n := given.Load(); float64(n) > most || n < burst {
		t.Errorf("%d tokens were given, at most %v are allowed", n, most)
	}
}

func BenchmarkLimiter(b *testing.B) {
	each(b, func(b *testing.B, l *redisthrottle.Limits) {
		throttletest.BenchmarkLimiter(b, l.Limiter("sends", 20, 60))
	})
}

func BenchmarkThrottle(b *testing.B) {
	each(b, func(b *testing.B, l *redisthrottle.Limits) {
		throttletest.BenchmarkThrottle(b, l.Throttle(throttle.Config{}))
	})
}

func each(b *testing.B, run func(b *testing.B, l *redisthrottle.Limits)) {
	b.Run("single", func(b *testing.B) {
		run(b, redisthrottle.New(connect(b, stacktest.Redis(b).URL()+"/4"), failOnLog(b)).WithLongTimeout())
	})
	b.Run("cluster", func(b *testing.B) {
		run(b, redisthrottle.New(connect(b, stacktest.RedisCluster(b).URL()), failOnLog(b)).WithLongTimeout())
	})
}

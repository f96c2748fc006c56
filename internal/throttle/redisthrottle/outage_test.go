package redisthrottle_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/throttle/redisthrottle"
)

// start starts a Redis server for this test alone, which may stop it.
func start(t *testing.T) *stack.Redis {
	t.Helper()
	f := stacktest.Folder(t)
	server, err := stack.StartRedis(t.Context(), f, "redis")
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// However Redis fails, users can log in and send, and are still limited by what
// the process has counted, also before the outage.
func TestRedisIsUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		fail, repair func(t *testing.T, s *stack.Redis) error
	}{
		"killed": {
			func(_ *testing.T, s *stack.Redis) error { return s.Kill() },
			func(t *testing.T, s *stack.Redis) error { return s.Start(t.Context()) },
		},
		"silent": {
			func(_ *testing.T, s *stack.Redis) error { return s.Pause() },
			func(_ *testing.T, s *stack.Redis) error { return s.Resume() },
		},
		"silent to new connections": {
			func(t *testing.T, s *stack.Redis) error {
				if _, err := s.Do(t.Context(), "CLIENT KILL TYPE normal"); err != nil {
					return err
				}
				return s.Pause()
			},
			func(_ *testing.T, s *stack.Redis) error { return s.Resume() },
		},
		"full": {
			func(t *testing.T, s *stack.Redis) error {
				_, err := s.Do(t.Context(), "CONFIG SET maxmemory 1")
				return err
			},
			func(t *testing.T, s *stack.Redis) error {
				_, err := s.Do(t.Context(), "CONFIG SET maxmemory 0")
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, log := start(t), &logRecorder{}
			limits := redisthrottle.New(connect(t, server.URL()), log.logger())
			limiter, guesses := newLimiter(t, limits, "sends", 0.001, 5), newThrottle(t, limits, throttle.Config{FreeFailures: 3, FirstWait: time.Minute})
			for range 3 {
				take(t, limiter, "aki")
				fail(t, guesses, "name:aki")
			}
			if err := c.fail(t, server); err != nil {
				t.Fatal(err)
			}
			within := func(what string, call func()) {
				t.Helper()
				begin := time.Now()
				call()
				// Without callTimeout a call takes until it is given up. The
				// difference is for a busy machine.
				if took := time.Since(begin); took >= redisconn.CallTimeout {
					t.Errorf("%s took %v", what, took)
				}
			}
			for i := range 4 {
				within("Take", func() {
					if wait := take(t, limiter, "aki"); (wait == 0) != (i < 2) {
						t.Errorf("token %d waits %v", i+4, wait)
					}
				})
			}
			within("Try", func() { fail(t, guesses, "address:::1", "name:aki") })
			// This continues for so long that Redis is called again, and does not
			// answer or fails.
			for i := range 12 {
				within("Try", func() {
					if got := try(t, guesses, fmt.Sprint("address:", i), "name:aki"); got == 0 {
						t.Error("guessing is not slowed down")
					}
				})
				within("Try", func() { fail(t, guesses, "name:ben") })
				within("Forgive", func() {
					if err := guesses.Cancel(t.Context(), "name:ben"); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(200 * time.Millisecond)
			}
			within("Succeeded", func() {
				if err := guesses.Reset(t.Context(), "name:aki"); err != nil {
					t.Error(err)
				}
			})
			fail(t, guesses, "name:aki") // the failures were reset
			if entries := log.all(); len(entries) != 1 || !strings.Contains(entries[0], "level=ERROR") {
				t.Errorf("the log has %q", entries)
			}
			if err := c.repair(t, server); err != nil {
				t.Fatal(err)
			}
			// Another process sees failures again once this one counts in Redis.
			other := newThrottle(t, redisthrottle.New(connect(t, server.URL()), failOnLog(t)).WithLongTimeout(), throttle.Config{FreeFailures: 3, FirstWait: time.Minute})
			eventually.True(t, "failures count across processes again", func() bool {
				_ = try(t, guesses, "name:chika")
				return try(t, other, "name:chika") > 0
			})
		})
	}
}

// An attempt is counted even when the caller's context ends.
func TestCanceledContext(t *testing.T) {
	server := start(t)
	limits := redisthrottle.New(connect(t, server.URL()), failOnLog(t)).WithLongTimeout()
	guesses := newThrottle(t, limits, throttle.Config{FreeFailures: 3, FirstWait: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 4 {
		if wait, err := guesses.Try(ctx, "name:aki"); err != nil || wait != 0 {
			t.Error(wait, err)
		}
	}
	other := newThrottle(t, redisthrottle.New(connect(t, server.URL()), failOnLog(t)).WithLongTimeout(), throttle.Config{FreeFailures: 3, FirstWait: time.Minute})
	if got := try(t, other, "name:aki"); got == 0 {
		t.Error("nothing was counted")
	}
}

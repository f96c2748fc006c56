package redisconn_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.MainNoLeaks(m) }

func connect(t *testing.T, url string) *redisconn.Client {
	t.Helper()
	c, err := redisconn.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Calls that hang are no more than there may be, and Close waits for them.
func TestCallsAreBounded(t *testing.T) {
	c := connect(t, stacktest.Redis(t).URL()).WithMaxCalls(2)
	hang := make(chan struct{})
	var running atomic.Int32
	call := func() (none struct{}) {
		running.Add(1)
		<-hang
		running.Add(-1)
		return none
	}
	for range 5 {
		late, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := redisconn.Call(late, c, 0, call); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call that hangs: %v", err)
		}
		cancel()
	}
	eventually.True(t, "two calls run", func() bool { return running.Load() == 2 })
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.Close()
		if n := running.Load(); n != 0 {
			t.Errorf("%d calls run after Close", n)
		}
	}()
	eventually.True(t, "nothing is called any more", func() bool {
		_, err := redisconn.Call(t.Context(), c, 0, func() (none struct{}) { return none })
		return errors.Is(err, rueidis.ErrClosing)
	})
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	close(hang)
	<-closed
}

// A call has some time more to come back with what it has.
func TestGrace(t *testing.T) {
	c := connect(t, stacktest.Redis(t).URL())
	ctx, cancel := context.WithCancel(t.Context())
	n, err := redisconn.Call(ctx, c, time.Minute, func() int {
		cancel()
		return 5
	})
	if n != 5 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// With a Redis that hangs, callers come back in time, and Close when the library
// has given up.
func TestCloseWhileRedisHangs(t *testing.T) {
	f := stacktest.Folder(t)
	server, err := stack.StartRedis(t.Context(), f, "redis")
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func() error{
		"silent": func() error { return nil },
		"silent to new connections": func() error {
			_, err := server.Do(t.Context(), "CLIENT KILL TYPE normal")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, server.URL())
			if err := harm(); err != nil {
				t.Fatal(err)
			}
			if err := server.Pause(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := server.Resume(); err != nil {
					t.Error(err)
				}
			}()
			var running atomic.Int32
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					defer cancel()
					answer, err := redisconn.Call(ctx, c, 0, func() error {
						running.Add(1)
						defer running.Add(-1)
						return c.Do(ctx, c.B().Ping().Build()).Error()
					})
					if answer == nil && err == nil {
						t.Error("a Redis that hangs answers")
					}
				})
			}
			callers.Wait()
			c.Close()
			if n := running.Load(); n != 0 {
				t.Errorf("%d calls run after Close", n)
			}
		})
	}
}

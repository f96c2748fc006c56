package redispresence_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/redispresence"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// startServer starts a Redis server for this test alone, which may stop it.
func startServer(t *testing.T) *stack.Redis {
	t.Helper()
	f := stacktest.Folder(t)
	server, err := stack.StartRedis(t.Context(), f, "redis")
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func detach(ctx context.Context, t *testing.T, p presence.Presence, user chat.UserID, node string, id int64) {
	t.Helper()
	if _, _, err := p.Detach(ctx, presence.Device{User: user, Node: node, ID: id}); err != nil {
		t.Error(err)
	}
}

func maintainOnce(t *testing.T, p *redispresence.Presence) {
	t.Helper()
	if err := p.MaintainOnce(t.Context()); err != nil {
		t.Error(err)
	}
}

// A device that could not be removed from Redis is removed by the next
// registration, which is reported; until then it is not kept in memory.
func TestFailedDetach(t *testing.T) {
	c := connect(t, fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1)))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, then := range map[string]func(p presence.Presence){
		"nothing":                     func(presence.Presence) {},
		"another one detaches":        func(p presence.Presence) { attach(t, p, 1, "a", 2); detach(t.Context(), t, p, 1, "a", 2) },
		"it detaches again":           func(p presence.Presence) { detach(t.Context(), t, p, 1, "a", 1) },
		"another one fails to detach": func(p presence.Presence) { attach(t, p, 1, "a", 2); detach(canceled, t, p, 1, "a", 2) },
	} {
		t.Run(name, func(t *testing.T) {
			var w watcher
			p := open(t, c, w.onChange)
			attach(t, p, 1, "a", 1)
			detach(canceled, t, p, 1, "a", 1)
			then(p)
			if n := p.Entries(); n != 0 {
				t.Errorf("%d users are in memory", n)
			}
			maintainOnce(t, p)
			if got := nodesOf(t, p, 1); len(got) != 0 {
				t.Errorf("the user has no device, and is found on %v", got)
			}
			if n := w.count(1, chat.Offline); n > 1 {
				t.Errorf("offline was reported %d times", n)
			}
		})
	}
	t.Run("one is left", func(t *testing.T) {
		p := open(t, c, nil)
		attach(t, p, 1, "a", 1)
		attach(t, p, 1, "a", 2)
		if _, _, err := p.SetAway(t.Context(), presence.Device{User: 1, Node: "a", ID: 1}, true); err != nil {
			t.Fatal(err)
		}
		detach(canceled, t, p, 1, "a", 2)
		maintainOnce(t, p)
		states, err := p.States(t.Context(), []chat.UserID{1})
		if err != nil || states[0].Presence != chat.Away {
			t.Errorf("%+v, %v", states, err)
		}
	})
}

// A shard of a cluster loses users, but not the node, which is in another shard.
func TestShardLosesUsers(t *testing.T) {
	c := connect(t, fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1)))
	p := open(t, c, nil)
	attach(t, p, 1, "a", 1)
	if err := c.Do(t.Context(), c.B().Del().Key(c.Key("presence:{"+chat.UserID(1).String()+"}")).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	maintainOnce(t, p)
	if got := nodesOf(t, p, 1); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the user is found on %v", got)
	}
}

// A gateway whose heartbeat was so late that others took it for dead registers its
// devices again, and says so: nobody found them meanwhile.
func TestNodeThatWasTakenForDead(t *testing.T) {
	c := connect(t, fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1)))
	var registered atomic.Int32
	p := redispresence.New(c, redispresence.Config{Logger: slog.New(slog.DiscardHandler), OnRegistered: func(users ...chat.UserID) {
		if len(users) == 0 {
			registered.Add(1)
		}
	}})
	t.Cleanup(p.Close)
	attach(t, p, 1, "a", 1)
	if n := registered.Load(); n != 0 {
		t.Fatalf("%d registrations before anything happened", n)
	}
	if err := redispresence.Expire(t.Context(), c, "a"); err != nil {
		t.Fatal(err)
	}
	maintainOnce(t, p)
	if got := nodesOf(t, p, 1); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the user is found on %v", got)
	}
	if registered.Load() == 0 {
		t.Error("the gateway does not say that its devices were not found")
	}
}

// Nobody who connects, is away or disconnects waits for a Redis that hangs. What is
// written in the end, although the caller has not waited for it, is reported as if it
// had.
func TestNobodyWaitsForAHangingRedis(t *testing.T) {
	server := startServer(t)
	var mu sync.Mutex
	var changed []presence.State
	var registered []chat.UserID
	p := redispresence.New(connect(t, server.URL()), redispresence.Config{
		OnChange: func(_ context.Context, s presence.State) {
			mu.Lock()
			defer mu.Unlock()
			changed = append(changed, s)
		},
		OnRegistered: func(users ...chat.UserID) {
			mu.Lock()
			defer mu.Unlock()
			registered = append(registered, users...)
		},
	})
	t.Cleanup(p.Close)
	attach(t, p, 1, "a", 1)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for user := chat.UserID(2); user < 20; user++ {
		attach(t, p, user, "a", int64(user))
	}
	if took := time.Since(began); took > 18*tooLong/2 {
		t.Errorf("18 devices wait %v for Redis, one after the other", took)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually.Nil(t, "all are told to be online, and to look for what they missed", func() error {
		mu.Lock()
		defer mu.Unlock()
		for user := chat.UserID(2); user < 20; user++ {
			online := slices.ContainsFunc(changed, func(s presence.State) bool { return s.User == user && s.Presence == chat.Online })
			if !online || !slices.Contains(registered, user) {
				return fmt.Errorf("user %d", user)
			}
		}
		return nil
	})
}

// Users connect and disconnect while Redis hangs. Their commands may reach Redis
// when it continues, in any order; soon it has the current state.
func TestChangesWhileRedisHangs(t *testing.T) {
	server := startServer(t)
	p := open(t, connect(t, server.URL()), nil)
	const total = 40
	for user := chat.UserID(1); user <= total; user += 2 {
		attach(t, p, user, "a", int64(user))
	}
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for user := chat.UserID(1); user <= total; user++ {
		calls.Go(func() {
			if user%2 == 0 {
				attach(t, p, user, "a", int64(user))
			}
			if user%4 > 1 {
				detach(t.Context(), t, p, user, "a", int64(user))
			}
		})
	}
	calls.Wait()
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "Redis has the current state", func() bool {
		for user := chat.UserID(1); user <= total; user++ {
			if found := slices.Equal(nodesOf(t, p, user), []string{"a"}); found != (user%4 <= 1) {
				return false
			}
		}
		return true
	})
}

// Calls for devices, registrations, and calls that time out run concurrently: in
// the end Redis has the current state.
func TestReregisterDuringChanges(t *testing.T) {
	c := connect(t, fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1)))
	p := open(t, c, nil)
	const total, rounds = 12, 60
	var calls, registrations sync.WaitGroup
	done := make(chan struct{})
	registrations.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				// It may fail: a call that times out closes the shared
				// connection. Then it is repeated.
				p.MarkOutOfSync()
				_ = p.MaintainOnce(t.Context())
			}
		}
	})
	want := make([]chat.Presence, total+1)
	for user := range chat.UserID(total + 1) {
		want[user] = chat.Offline
		if user == 0 {
			continue
		}
		calls.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(user)))
			for round := range rounds {
				d := presence.Device{User: user, Node: "a", ID: int64(round)}
				timeout := time.Minute
				if random.IntN(3) == 0 {
					timeout = time.Duration(random.IntN(1500)) * time.Microsecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				_, _, err := p.Attach(ctx, d)
				_, _, err2 := p.SetAway(ctx, d, round%2 == 0)
				want[user] = chat.Online
				if round%2 == 0 {
					want[user] = chat.Away
				}
				if round < rounds-1 || user%2 == 0 {
					_, _, err3 := p.Detach(ctx, d)
					err = errors.Join(err, err3)
					want[user] = chat.Offline
				}
				if err = errors.Join(err, err2); err != nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	calls.Wait()
	close(done)
	registrations.Wait()
	users := make([]chat.UserID, total+1)
	for i := range users {
		users[i] = chat.UserID(i)
	}
	settle(t, c)
	// Calls that were given up go on for a moment.
	eventually.Nil(t, "what failed is registered", func() error {
		if err := p.MaintainOnce(t.Context()); err != nil {
			return err
		}
		states, err := p.States(t.Context(), users)
		if err != nil {
			return err
		}
		for i := range states {
			if states[i].Presence != want[i] {
				return fmt.Errorf("%d is %s, and should be %s", i, states[i].Presence, want[i])
			}
		}
		if n := p.Entries(); n != total/2 {
			return fmt.Errorf("%d users are in memory", n)
		}
		return nil
	})
}

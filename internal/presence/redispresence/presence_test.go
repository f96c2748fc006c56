package redispresence_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/presencetest"
	"github.com/hikyaku-chat/hikyaku/internal/presence/redispresence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
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

func open(t *testing.T, c *redisconn.Client, onChange func(context.Context, presence.State)) *redispresence.Presence {
	t.Helper()
	p := start(c, onChange)
	t.Cleanup(p.Close)
	return p
}

func start(c *redisconn.Client, onChange func(context.Context, presence.State)) *redispresence.Presence {
	return redispresence.New(c, redispresence.Config{OnChange: onChange, Logger: slog.New(slog.DiscardHandler)})
}

func settle(t *testing.T, c *redisconn.Client) {
	t.Helper()
	if err := redispresence.Settle(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

var databases atomic.Int64

// The suite opens many presences; each flushes the database.
func TestConformance(t *testing.T) {
	url := fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1))
	client := connect(t, url)
	presencetest.Run(t, presencetest.Harness{Open: func(t *testing.T) (presence.Presence, func()) {
		if err := client.Do(t.Context(), client.B().Flushdb().Build()).Error(); err != nil {
			t.Fatal(err)
		}
		settle(t, client)
		p := start(client, nil)
		return p, p.Close
	}})
}

func TestConformanceOnCluster(t *testing.T) {
	cluster := stacktest.RedisCluster(t)
	client := connect(t, cluster.URL())
	presencetest.Run(t, presencetest.Harness{Open: func(t *testing.T) (presence.Presence, func()) {
		for _, node := range cluster.Nodes {
			if _, err := node.Do(t.Context(), "FLUSHALL"); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, client)
		p := start(client, nil)
		return p, p.Close
	}})
}

// watcher records the reported changes.
type watcher struct {
	mu     sync.Mutex
	states []presence.State
}

func (w *watcher) onChange(_ context.Context, s presence.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states = append(w.states, s)
}

func (w *watcher) count(user chat.UserID, state chat.Presence) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.states {
		if s.User == user && s.Presence == state {
			n++
		}
	}
	return n
}

func attach(t *testing.T, p presence.Presence, user chat.UserID, node string, id int64) {
	t.Helper()
	if _, _, err := p.Attach(t.Context(), presence.Device{User: user, Node: node, ID: id}); err != nil {
		t.Fatal(err)
	}
}

func nodesOf(t *testing.T, p presence.Presence, user chat.UserID) []string {
	t.Helper()
	out, err := p.NodesOf(t.Context(), []chat.UserID{user})
	if err != nil {
		return []string{err.Error()}
	}
	return out[0]
}

// A gateway that crashes sends no more heartbeats. Soon afterwards its users are
// offline, unless they have devices on other gateways, and that is reported once.
func TestGatewayCrashes(t *testing.T) {
	url := fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1))
	var w watcher
	dying := connect(t, url)
	a := open(t, dying, nil)
	b, c := open(t, connect(t, url), w.onChange), open(t, connect(t, url), w.onChange)
	attach(t, a, 1, "a", 1)
	attach(t, a, 2, "a", 2)
	attach(t, b, 2, "b", 1)
	attach(t, c, 3, "c", 1)
	if got := nodesOf(t, c, 2); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("user 2 is on %v", got)
	}
	dying.Close()
	eventually.True(t, "user 1 is offline", func() bool { return len(nodesOf(t, c, 1)) == 0 })
	eventually.True(t, "user 2 is on b only", func() bool { return slices.Equal(nodesOf(t, b, 2), []string{"b"}) })
	eventually.True(t, "it is reported", func() bool { return w.count(1, chat.Offline) > 0 })
	// A few more heartbeats report nothing new.
	for range 3 {
		maintainOnce(t, b)
		maintainOnce(t, c)
	}
	if n := w.count(1, chat.Offline); n != 1 {
		t.Errorf("user 1 offline was reported %d times", n)
	}
	if n := w.count(2, chat.Offline) + w.count(3, chat.Offline); n != 0 {
		t.Errorf("users who are online were reported offline %d times", n)
	}
}

// A process that dies while it removes a dead gateway leaves that to another.
func TestReaperDies(t *testing.T) {
	url := fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1))
	dying, reaper := connect(t, url), connect(t, url)
	a, b := open(t, dying, nil), start(reaper, nil)
	b.Close() // it removes nothing by itself
	attach(t, a, 1, "a", 1)
	dying.Close()
	eventually.Nil(t, "the dead gateway is found", func() error {
		dead, err := b.ClaimDeadNodes(t.Context(), time.Second)
		if err == nil && !slices.Equal(dead, []string{"a"}) {
			err = fmt.Errorf("dead are %v", dead)
		}
		return err
	})
	if dead, err := b.ClaimDeadNodes(t.Context(), time.Second); err != nil || len(dead) > 0 {
		t.Errorf("two remove %v at a time: %v", dead, err)
	}
	var w watcher
	c := open(t, connect(t, url), w.onChange)
	attach(t, c, 2, "c", 1)
	eventually.True(t, "it is reported", func() bool { return w.count(1, chat.Offline) > 0 })
	maintainOnce(t, c)
	if dead, err := c.ClaimDeadNodes(t.Context(), 0); err != nil || len(dead) > 0 {
		t.Errorf("still to be removed: %v, %v", dead, err)
	}
}

// Where no gateway has a device, for example on a new installation, everybody is
// offline, though not from the first question on.
func TestNobodyIsConnected(t *testing.T) {
	p := open(t, connect(t, startServer(t).URL()), nil)
	if _, err := p.States(t.Context(), []chat.UserID{1}); err == nil {
		t.Error("an empty Redis says at once that nobody is there")
	}
	eventually.Nil(t, "nobody is there", func() error {
		states, err := p.States(t.Context(), []chat.UserID{1})
		if err == nil && states[0].Presence != chat.Offline {
			t.Fatalf("%+v", states)
		}
		return err
	})
}

// Redis restarts empty: the users are soon registered again, and nobody is said to be
// offline meanwhile. Users who connect during the outage are accepted.
func TestRedisRestartsEmpty(t *testing.T) {
	server := startServer(t)
	var registered atomic.Int32
	a, b := redispresence.New(connect(t, server.URL()), redispresence.Config{OnRegistered: func(users ...chat.UserID) {
		if len(users) == 0 {
			registered.Add(1)
		}
	}}), open(t, connect(t, server.URL()), nil)
	t.Cleanup(a.Close)
	attach(t, a, 1, "a", 1)
	attach(t, b, 2, "b", 1)
	if n := registered.Load(); n != 0 {
		t.Errorf("%d registrations before anything was lost", n)
	}
	if _, _, err := b.SetAway(t.Context(), presence.Device{User: 2, Node: "b", ID: 1}, true); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	attach(t, a, 3, "a", 2)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	users := []chat.UserID{1, 2, 3, 4}
	var states []presence.State
	eventually.Nil(t, "it is known who is there", func() (err error) {
		states, err = a.States(t.Context(), users)
		unknown := presence.Unknown(err, len(users))
		for i := range states[:3] {
			if !unknown[i] && states[i].Presence == chat.Offline {
				t.Fatalf("user %d is said to be offline", states[i].User)
			}
		}
		return err
	})
	eventually.True(t, "everyone is found again", func() bool {
		return slices.Equal(nodesOf(t, b, 1), []string{"a"}) && slices.Equal(nodesOf(t, a, 2), []string{"b"}) && slices.Equal(nodesOf(t, b, 3), []string{"a"})
	})
	eventually.True(t, "the process knows that it was forgotten", func() bool { return registered.Load() > 0 })
	var got []chat.Presence
	for _, s := range states {
		got = append(got, s.Presence)
	}
	if !slices.Equal(got, []chat.Presence{chat.Online, chat.Away, chat.Online, chat.Offline}) {
		t.Errorf("states are %v", got)
	}
}

package redispresence_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/redispresence"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// startServer starts a Redis that the test may harm.
func startServer(t *testing.T) *stack.Redis {
	t.Helper()
	stacktest.SkipIfShort(t)
	f, err := stack.NewFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
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

func tend(t *testing.T, p *redispresence.Presence) {
	t.Helper()
	if err := p.Tend(t.Context()); err != nil {
		t.Error(err)
	}
}

// A device that could not be taken off is taken off with the next telling, which
// is told; nothing of it is kept until then.
func TestADeviceThatCouldNotBeTakenOff(t *testing.T) {
	c := connect(t, fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1)))
	late, cancel := context.WithCancel(t.Context())
	cancel()
	for name, then := range map[string]func(p presence.Presence){
		"nothing":              func(presence.Presence) {},
		"another one goes":     func(p presence.Presence) { attach(t, p, 1, "a", 2); detach(t.Context(), t, p, 1, "a", 2) },
		"it goes once more":    func(p presence.Presence) { detach(t.Context(), t, p, 1, "a", 1) },
		"another one, unheard": func(p presence.Presence) { attach(t, p, 1, "a", 2); detach(late, t, p, 1, "a", 2) },
	} {
		t.Run(name, func(t *testing.T) {
			var w watcher
			p := open(t, c, w.onChange)
			attach(t, p, 1, "a", 1)
			detach(late, t, p, 1, "a", 1)
			then(p)
			if n := p.Remembered(); n != 0 {
				t.Errorf("%d people are remembered", n)
			}
			tend(t, p)
			if got := where(t, p, 1); len(got) != 0 {
				t.Errorf("the person has no device, and is found on %v", got)
			}
			if n := w.count(1, chat.Offline); n > 1 {
				t.Errorf("that the person is gone was told %d times", n)
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
		detach(late, t, p, 1, "a", 2)
		tend(t, p)
		states, err := p.States(t.Context(), []chat.UserID{1})
		if err != nil || states[0].Presence != chat.Away {
			t.Errorf("%+v, %v", states, err)
		}
	})
}

// A part of a cluster forgets people, but not the node, which another part knows.
func TestAPartForgets(t *testing.T) {
	c := connect(t, fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1)))
	p := open(t, c, nil)
	attach(t, p, 1, "a", 1)
	if err := c.Do(t.Context(), c.B().Del().Key(c.Key("presence:{"+chat.UserID(1).String()+"}")).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	tend(t, p)
	if got := where(t, p, 1); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the person is found on %v", got)
	}
}

// People come and go while Redis hangs. What they did then may reach it when it
// goes on, in whatever order; soon it knows who is here.
func TestPeopleComeAndGoWhileRedisHangs(t *testing.T) {
	server := startServer(t)
	p := open(t, connect(t, server.URL()), nil)
	const people = 40
	for user := chat.UserID(1); user <= people; user += 2 {
		attach(t, p, user, "a", int64(user))
	}
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for user := chat.UserID(1); user <= people; user++ {
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
	eventually.True(t, "Redis knows who is here", func() bool {
		for user := chat.UserID(1); user <= people; user++ {
			if found := slices.Equal(where(t, p, user), []string{"a"}); found != (user%4 <= 1) {
				return false
			}
		}
		return true
	})
}

// However the calls about people's devices, the telling again, and calls that
// are given up meet, in the end Redis knows what is so.
func TestTellingAgainWhilePeopleComeAndGo(t *testing.T) {
	c := connect(t, fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1)))
	p := open(t, c, nil)
	const people, rounds = 12, 60
	var calls, telling sync.WaitGroup
	over := make(chan struct{})
	telling.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				// It may fail: a call that is given up closes the connection
				// that all share. Then it is done again.
				p.Doubt()
				_ = p.Tend(t.Context())
			}
		}
	})
	want := make([]chat.Presence, people+1)
	for user := range chat.UserID(people + 1) {
		want[user] = chat.Offline
		if user == 0 {
			continue
		}
		calls.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(user)))
			for round := range rounds {
				d := presence.Device{User: user, Node: "a", ID: int64(round)}
				patience := time.Minute
				if random.IntN(3) == 0 {
					patience = time.Duration(random.IntN(1500)) * time.Microsecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
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
	close(over)
	telling.Wait()
	eventually.True(t, "what could not be told is told", func() bool { return p.Tend(t.Context()) == nil })
	users := make([]chat.UserID, people+1)
	for i := range users {
		users[i] = chat.UserID(i)
	}
	states, err := p.States(t.Context(), users)
	if err != nil {
		t.Fatal(err)
	}
	for i := range states {
		if states[i].Presence != want[i] {
			t.Errorf("%d is %s, and should be %s", i, states[i].Presence, want[i])
		}
	}
	if n := p.Remembered(); n != people/2 {
		t.Errorf("%d people are remembered", n)
	}
}

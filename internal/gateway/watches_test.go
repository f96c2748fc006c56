package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// onlinePresence says that everybody is online.
type onlinePresence struct {
	presence.Presence
	calls atomic.Int64
	away  atomic.Bool // nothing is known of users with odd ids, who seem to be offline
}

func (p *onlinePresence) States(_ context.Context, users []chat.UserID) ([]presence.State, error) {
	p.calls.Add(1)
	out, unknown := make([]presence.State, len(users)), make([]bool, len(users))
	for i, user := range users {
		out[i] = presence.State{User: user, Presence: chat.Online}
		if unknown[i] = p.away.Load() && user%2 == 1; unknown[i] {
			out[i].Presence = chat.Offline
		}
	}
	if slices.Contains(unknown, true) {
		return out, &presence.PartialError{Unknown: unknown, Err: errors.New("it has forgotten")}
	}
	return out, nil
}

// all says that all pairs share a conversation.
func all(pairs []store.UserPair) ([]bool, error) {
	out := make([]bool, len(pairs))
	for i := range out {
		out[i] = true
	}
	return out, nil
}

func newWatchGateway(t testing.TB, share func(pairs []store.UserPair) ([]bool, error)) (*Gateway, *onlinePresence) {
	t.Helper()
	g := newTestGateway(t, &stubStore{share: share}, nil)
	p := &onlinePresence{}
	g.deps.Presence = p
	g.background.Go(g.watches.lookUpAll)
	return g, p
}

// watched returns whom a session watches, once nothing is looked up any more.
func (w *watches) watched(t testing.TB, s *session) (users []chat.UserID) {
	t.Helper()
	eventually.True(t, "nothing is looked up", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.lookups) > 0 || w.asks.Len() > 0 {
			return false
		}
		users = slices.Clone(s.watch.users)
		for _, user := range users {
			if _, ok := w.watchers[user][s]; !ok {
				t.Errorf("user %d has no watcher", user)
			}
		}
		return true
	})
	return users
}

// Of whom presence knows nothing it is not said that they are offline: their states
// are told when they are known.
func TestUnknownStatesAreToldLater(t *testing.T) {
	g, p := newWatchGateway(t, all)
	g.watches.retry = time.Millisecond
	p.away.Store(true)
	s, conn := connectTestSession(t, g, 1)
	g.watches.replace(s, []chat.UserID{2, 3, 4, 5})
	if got, want := readFrame(t, conn), `{"t":"presence","states":[{"user":"2","state":"online"},{"user":"4","state":"online"}]}`; got != want {
		t.Errorf("the session is told %s", got)
	}
	calls := p.calls.Load()
	eventually.True(t, "presence is asked again and again", func() bool { return p.calls.Load() > calls+3 })
	p.away.Store(false)
	if got, want := readFrame(t, conn), `{"t":"presence","states":[{"user":"3","state":"online"},{"user":"5","state":"online"}]}`; got != want {
		t.Errorf("the session is told %s", got)
	}
	users := g.watches.watched(t, s)
	if slices.Sort(users); !slices.Equal(users, []chat.UserID{2, 3, 4, 5}) {
		t.Errorf("%v are watched", users)
	}
}

// Users watch only those they share a conversation with, also when a removal
// happens during the look-up, or its announcement is lost (G7).
func TestWatchesAfterARemoval(t *testing.T) {
	for name, announce := range map[string]func(g *Gateway){
		"announced":               func(g *Gateway) { g.watches.membersLeft([]chat.UserID{2}) },
		"the watcher was removed": func(g *Gateway) { g.watches.membersLeft([]chat.UserID{1}) },
		"lost":                    func(g *Gateway) { g.watches.refreshAll() },
	} {
		for when, during := range map[string]bool{"during the look-up": true, "after it": false} {
			t.Run(name+" "+when, func(t *testing.T) {
				var removed atomic.Bool
				var overtake atomic.Bool
				overtake.Store(during)
				var g *Gateway
				share := func(pairs []store.UserPair) ([]bool, error) {
					out, _ := all(pairs)
					if overtake.CompareAndSwap(true, false) { // the removal is announced before this answer arrives
						removed.Store(true)
						announce(g)
						return out, nil
					}
					for i, p := range pairs {
						out[i] = !removed.Load() || p.Other == 3
					}
					return out, nil
				}
				g, _ = newWatchGateway(t, share)
				s := newTestSession(t, g, 1)
				g.hub.add(s)
				g.watches.replace(s, []chat.UserID{2, 3})
				if !during {
					if got := g.watches.watched(t, s); !slices.Equal(got, []chat.UserID{2, 3}) {
						t.Fatalf("the session watches %v", got)
					}
					removed.Store(true)
					announce(g)
				}
				if got := g.watches.watched(t, s); !slices.Equal(got, []chat.UserID{3}) {
					t.Errorf("the session watches %v", got)
				}
				g.watches.end(s)
				g.watches.replace(s, []chat.UserID{3}) // from its backlog
				g.watches.mu.Lock()
				defer g.watches.mu.Unlock()
				if len(g.watches.watchers) > 0 || g.watches.asks.Len() > 0 {
					t.Errorf("a session that has ended watches %v", g.watches.watchers)
				}
			})
		}
	}
}

// The latest list counts, whatever is looked up meanwhile; and when it cannot be
// looked up, the client is told so.
func TestTheLatestListIsWatched(t *testing.T) {
	var fail atomic.Bool
	var g *Gateway
	var s *session
	var once sync.Once
	share := func(pairs []store.UserPair) ([]bool, error) {
		once.Do(func() {
			g.watches.replace(s, []chat.UserID{4, 5})
			g.watches.membersLeft([]chat.UserID{2})
		})
		if fail.Load() {
			return nil, errors.New("the database is away")
		}
		return all(pairs)
	}
	g, _ = newWatchGateway(t, share)
	s, conn := connectTestSession(t, g, 1)
	g.watches.replace(s, []chat.UserID{2, 3})
	if got := g.watches.watched(t, s); !slices.Equal(got, []chat.UserID{4, 5}) {
		t.Errorf("the session watches %v", got)
	}
	if f := readFrame(t, conn); !strings.Contains(f, `"user":"4"`) || !strings.Contains(f, `"user":"5"`) {
		t.Errorf("the client is sent %s", f)
	}
	fail.Store(true)
	g.watches.replace(s, []chat.UserID{6})
	if f := readFrame(t, conn); !strings.Contains(f, `"unavailable"`) {
		t.Errorf("the client is sent %s", f)
	}
	fail.Store(false)
	g.watches.replace(s, nil)
	if got := g.watches.watched(t, s); len(got) > 0 {
		t.Errorf("the session watches %v", got)
	}
}

// BenchmarkWatchers measures what a gateway does when somebody leaves a conversation
// whom many sessions watch: until all of them watch again.
func BenchmarkWatchers(b *testing.B) {
	const sessions, each = 10_000, 50
	var lookups atomic.Int64
	g, p := newWatchGateway(b, func(pairs []store.UserPair) ([]bool, error) {
		lookups.Add(1)
		return all(pairs)
	})
	shared := newTestSession(b, g, 1)
	list := make([]chat.UserID, each)
	for i := range list {
		list[i] = chat.UserID(1 + i)
	}
	for i := range sessions {
		s := newSession(g, chat.UserID(1000+i), 1)
		s.conn = shared.conn
		g.hub.add(s)
		g.watches.replace(s, list)
	}
	watch := func() {
		eventually.True(b, "all watch", func() bool {
			g.watches.mu.Lock()
			defer g.watches.mu.Unlock()
			return len(g.watches.watchers[1]) == sessions && len(g.watches.lookups) == 0
		})
	}
	watch()
	lookups.Store(0)
	p.calls.Store(0)
	for b.Loop() {
		g.watches.membersLeft([]chat.UserID{1})
		watch()
	}
	b.ReportMetric(float64(lookups.Load()+p.calls.Load())/float64(b.N), "queries/op")
}

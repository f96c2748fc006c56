package gateway

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

// deliver delivers items as one envelope.
func deliver(g *Gateway, items ...pubsub.Item) {
	(*subscriber)(g).Deliver(&pubsub.Envelope{Items: items})
}

// pushTo returns a frame of the test's conversation, whose members were users at
// rev.
func pushTo(rev int64, frame string, users ...chat.UserID) pubsub.Item {
	return pubsub.Item{Push: &pubsub.Push{Users: users, Conversation: conversation, MembersRev: rev, Frame: []byte(frame)}}
}

// departureOf returns the announcement that users left.
func departureOf(rev int64, users ...chat.UserID) pubsub.Item {
	return pubsub.Item{Membership: &pubsub.Membership{Conversation: conversation, MembersRev: rev, Left: users}}
}

// last is a frame that every user gets.
func last(users ...chat.UserID) pubsub.Item {
	return pubsub.Item{Push: &pubsub.Push{Users: users, Frame: []byte("last")}}
}

// What was sent to a small conversation before a member left, and comes after the
// gateway knows of that, does not reach them (G7).
func TestLateFrames(t *testing.T) {
	deliverAll := func(items ...pubsub.Item) func(*Gateway) {
		return func(g *Gateway) { deliver(g, items...) }
	}
	many := func(from, n int) func(*Gateway) { // departures from other conversations
		return func(g *Gateway) {
			for i := range n {
				deliver(g, pubsub.Item{Membership: &pubsub.Membership{
					Conversation: chat.ConversationID(1000 + from + i), MembersRev: 2, Left: []chat.UserID{9},
				}})
			}
		}
	}
	for name, c := range map[string]struct {
		members []chat.UserID // in the store, when it is asked
		do      func(g *Gateway)
		one     []string // frames of user 1, who leaves
		two     []string
		asks    bool // whether the members are looked up
	}{
		"before it is known": {
			do:  deliverAll(pushTo(1, "a", 1, 2), departureOf(5, 1)),
			one: []string{"a"}, two: []string{"a"},
		},
		"late": {
			do:  deliverAll(departureOf(5, 1), pushTo(1, "a", 1, 2), pushTo(4, "b", 2, 1)),
			two: []string{"a", "b"},
		},
		"of another conversation": {
			do:  deliverAll(pubsub.Item{Membership: &pubsub.Membership{Conversation: 8, MembersRev: 5, Left: []chat.UserID{1}}}, pushTo(1, "a", 1, 2)),
			one: []string{"a"}, two: []string{"a"},
		},
		"joined again": {
			do:  deliverAll(departureOf(5, 1), pushTo(4, "a", 1, 2), pushTo(6, "b", 1, 2)),
			one: []string{"b"}, two: []string{"a", "b"},
		},
		"left twice": {
			do:  deliverAll(departureOf(5, 1), departureOf(7, 1), pushTo(6, "a", 1, 2)),
			two: []string{"a"},
		},
		"announced in another order": {
			do:  deliverAll(departureOf(7, 1), departureOf(5, 1), pushTo(6, "a", 1, 2)),
			two: []string{"a"},
		},
		"among others who left since": {
			do:  func(g *Gateway) { deliver(g, departureOf(5, 1)); many(0, 100)(g); deliver(g, pushTo(1, "a", 1, 2)) },
			two: []string{"a"},
		},
		"more left than are remembered": {
			members: []chat.UserID{2, 3},
			do: func(g *Gateway) {
				deliver(g, departureOf(5, 1))
				many(0, maxDepartures)(g)
				deliver(g, pushTo(1, "a", 1, 2))
			},
			two: []string{"a"}, asks: true,
		},
		"after a loss": {
			members: []chat.UserID{2, 3},
			do:      func(g *Gateway) { (*subscriber)(g).Gap(); deliver(g, pushTo(1, "a", 1, 2), pushTo(1, "b", 2)) },
			two:     []string{"a", "b"}, asks: true,
		},
		"another epoch": {
			do: func(g *Gateway) {
				deliver(g, departureOf(5, 1))
				g.departures.reset()
				deliver(g, pushTo(3, "a", 1, 2))
			},
			one: []string{"a"}, two: []string{"a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Bool
			g := newTestGateway(t, &stubStore{members: func() ([]chat.UserID, int64, error) {
				asked.Store(true)
				return c.members, 5, nil
			}}, nil)
			one, clientOne := connectTestSession(t, g, 1)
			two, clientTwo := connectTestSession(t, g, 2)
			g.hub.add(one)
			g.hub.add(two)
			c.do(g)
			if c.asks { // frames wait for the members
				if _, err := g.members.load(t.Context(), conversation); err != nil {
					t.Fatal(err)
				}
			}
			deliver(g, last(1, 2))
			for _, want := range append(c.one, "last") {
				if got := readFrame(t, clientOne); got != want {
					t.Errorf("who left got %q, not %q", got, want)
					break
				}
			}
			for _, want := range append(c.two, "last") {
				if got := readFrame(t, clientTwo); got != want {
					t.Errorf("who stayed got %q, not %q", got, want)
					break
				}
			}
			if asked.Load() != c.asks {
				t.Errorf("the members were looked up: %v", !c.asks)
			}
		})
	}
}

// The memory of departures is bounded, and what it forgets in good time makes
// nothing uncertain.
func TestDeparturesAreForgotten(t *testing.T) {
	d, now := newDepartures(), time.Now()
	for i := range 3 * maxDepartures {
		d.add(&pubsub.Membership{Conversation: chat.ConversationID(i % 7), MembersRev: int64(i), Left: []chat.UserID{chat.UserID(i)}}, now)
		now = now.Add(departureMemory / (maxDepartures - 1))
	}
	inMap := 0
	for _, left := range d.left {
		inMap += len(left)
	}
	if len(d.order) != maxDepartures || inMap != maxDepartures || !d.uncertainUntil.IsZero() {
		t.Errorf("%d and %d departures; uncertain until %v", len(d.order), inMap, d.uncertainUntil)
	}
	const latest = 3*maxDepartures - 1
	if left, certain := d.of(latest % 7); !certain || !hasLeft(left, latest, latest-1) || hasLeft(left, latest, latest) {
		t.Errorf("the latest departure is not known; %v", certain)
	}
	d.add(&pubsub.Membership{Conversation: 1, MembersRev: 1, Left: make([]chat.UserID, maxDepartures+1)}, now)
	if _, certain := d.of(1); certain || len(d.order) != maxDepartures {
		t.Errorf("%d departures after too many at once; certain %v", len(d.order), certain)
	}
}

// When the members cannot be looked up, their devices are asked to sync, and the
// next frame is delivered.
func TestFramesAfterAFailedLookup(t *testing.T) {
	var works atomic.Bool
	g := newTestGateway(t, &stubStore{members: func() ([]chat.UserID, int64, error) {
		if !works.Load() {
			return nil, 0, errors.New("the database is away")
		}
		return []chat.UserID{1}, 1, nil
	}}, nil)
	g.background.Go(g.resyncAll)
	s, client := connectTestSession(t, g, 1)
	g.hub.add(s)
	g.members.deliver(conversation, delivery{rev: 1, frame: []byte("lost")})
	if got := readFrame(t, client); got != `{"t":"resync"}` {
		t.Errorf("%q", got)
	}
	works.Store(true)
	g.members.deliver(conversation, delivery{rev: 1, frame: []byte("delivered")})
	if got := readFrame(t, client); got != "delivered" {
		t.Errorf("%q", got)
	}
}

// BenchmarkPush measures what a gateway does with the frame of a small
// conversation, without the sockets' part.
func BenchmarkPush(b *testing.B) {
	for _, users := range []int{2, 32} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			g := newTestGateway(b, &stubStore{}, nil)
			p := &pubsub.Push{Conversation: conversation, MembersRev: 1, Frame: make([]byte, 300)}
			for i := range users {
				p.Users = append(p.Users, chat.UserID(i+1))
			}
			for i := range 1000 {
				deliver(g, pubsub.Item{Membership: &pubsub.Membership{Conversation: chat.ConversationID(1000 + i), MembersRev: 2, Left: p.Users[:1]}})
			}
			e := &pubsub.Envelope{Items: []pubsub.Item{{Push: p}}}
			b.ReportAllocs()
			for b.Loop() {
				(*subscriber)(g).Deliver(e)
			}
		})
	}
}

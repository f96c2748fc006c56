package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

// A list that is changed step by step has the members of a set that is changed in
// the same way, and the lists before stay as they were.
func TestMemberListChanges(t *testing.T) {
	for _, n := range []int{0, 1, maxMemberChunk, 5 * maxMemberChunk} {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		set := map[chat.UserID]bool{}
		for len(set) < n {
			set[chat.UserID(random.Int64N(1<<20))] = true
		}
		ids := func() (out []chat.UserID) {
			for user := range set {
				out = append(out, user)
			}
			slices.Sort(out)
			return out
		}
		list := newMemberList(1, ids(), time.Now())
		for step := range 3000 {
			m := &pubsub.Membership{MembersRevBefore: list.rev, MembersRev: list.rev + 1 + random.Int64N(3)}
			for range 1 + random.IntN(2) {
				user := chat.UserID(random.Int64N(1 << 20))
				if members := list.ids(); len(members) > 0 && step%5 < 3 {
					user = members[random.IntN(len(members))]
				}
				switch {
				case slices.Contains(m.Joined, user) || slices.Contains(m.Left, user):
				case set[user]:
					m.Left = append(m.Left, user)
					delete(set, user)
				default:
					m.Joined = append(m.Joined, user)
					set[user] = true
				}
			}
			before := list.ids()
			next, ok := list.changed(m)
			if !ok || !slices.Equal(list.ids(), before) {
				t.Fatalf("%d members, step %d: applied %v, or the list before has changed", n, step, ok)
			}
			if list = next; list.rev != m.MembersRev || list.size != len(set) || !slices.Equal(list.ids(), ids()) {
				t.Fatalf("%d members, step %d: rev %d, size %d of %d", n, step, list.rev, list.size, len(set))
			}
			for user := range set {
				if !list.has(user) || list.has(user+1) != set[user+1] {
					t.Fatalf("%d members, step %d: user %d", n, step, user)
				}
				break
			}
			for _, chunk := range list.chunks {
				if len(chunk) == 0 || len(chunk) > maxMemberChunk {
					t.Fatalf("a chunk of %d", len(chunk))
				}
			}
		}
	}
}

func (l *memberList) ids() []chat.UserID { return slices.Concat(l.chunks...) }

// numberedUsers returns the users 1 to n.
func numberedUsers(n int) []chat.UserID {
	out := make([]chat.UserID, n)
	for i := range out {
		out[i] = chat.UserID(i + 1)
	}
	return out
}

// People who come and go cost no look-up, and a change that was missed costs one.
func TestMembersFollowChanges(t *testing.T) {
	var lookups, rev atomic.Int64
	rev.Store(10)
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		lookups.Add(1)
		return numberedUsers(1000), rev.Load(), nil
	}}
	g := newTestGateway(t, st, nil)
	load := func() *memberList {
		t.Helper()
		m, err := g.members.load(t.Context(), conversation)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	load()
	deliver := func(m pubsub.Membership) {
		m.Conversation = conversation
		(*subscriber)(g).Deliver(&pubsub.Envelope{Items: []pubsub.Item{{Membership: &m}}})
	}
	deliver(pubsub.Membership{MembersRev: 12, MembersRevBefore: 10, Joined: []chat.UserID{5000}})
	deliver(pubsub.Membership{MembersRev: 13, MembersRevBefore: 12, Left: []chat.UserID{7}})
	deliver(pubsub.Membership{MembersRev: 12, MembersRevBefore: 10, Left: []chat.UserID{5000}}) // late
	deliver(pubsub.Membership{MembersRev: 14, MembersRevBefore: 13})                            // a role
	if m := load(); m.rev != 14 || !m.has(5000) || m.has(7) || m.size != 1000 || lookups.Load() != 1 {
		t.Errorf("rev %d, %d members after %d look-ups", m.rev, m.size, lookups.Load())
	}
	for i, m := range []pubsub.Membership{
		{MembersRev: 20, MembersRevBefore: 19, Joined: []chat.UserID{6000}}, // one between is missing
		{MembersRev: 30, Left: []chat.UserID{1}},                            // cannot be applied
	} {
		rev.Store(m.MembersRev)
		deliver(m)
		if m := load(); m.rev != rev.Load() || lookups.Load() != int64(i+2) {
			t.Errorf("rev %d after %d look-ups", m.rev, lookups.Load())
		}
	}
}

// A look-up ends although people join all the time, so that the database's answer is
// never of the newest change.
func TestChangesDuringMemberLoad(t *testing.T) {
	var g *Gateway
	rev := int64(10)
	lookups := 0
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		lookups++
		answer := rev
		joined := chat.UserID(1000)
		for _, next := range []int64{2, 1} { // announced by two processes, in the wrong order
			g.members.changed(&pubsub.Membership{
				Conversation: conversation, MembersRev: rev + next, MembersRevBefore: rev + next - 1, Joined: []chat.UserID{joined + chat.UserID(next)},
			})
		}
		rev += 2
		return numberedUsers(1000), answer, nil
	}}
	g = newTestGateway(t, st, nil)
	m, err := g.members.load(t.Context(), conversation)
	if err != nil || lookups != 1 || m.rev != 12 || !m.has(1001) || !m.has(1002) {
		t.Errorf("%d look-ups, %+v, %v", lookups, m, err)
	}
}

// After a look-up that failed, all clients are asked to sync, and frames are
// delivered again.
func TestFramesAfterAFailedMemberLoad(t *testing.T) {
	var failed atomic.Bool
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		if failed.CompareAndSwap(false, true) {
			return nil, 0, errors.New("the database is away")
		}
		return []chat.UserID{1}, 1, nil
	}}
	g := newTestGateway(t, st, nil)
	g.members.deliver(conversation, delivery{rev: 1, frame: []byte("x")})
	eventually.True(t, "the clients are asked to sync", func() bool { return len(g.resyncs) == 1 })
	eventually.True(t, "the members are known again", func() bool {
		g.members.deliver(conversation, delivery{rev: 1, frame: []byte("x")})
		_, cached := g.members.get(conversation)
		g.members.mu.Lock()
		defer g.members.mu.Unlock()
		return cached && len(g.members.loads) == 0
	})
}

// While the store hangs, or fails, people go on talking where the gateway remembers
// that they are members: the first message waits for a moment, the others for
// nothing. What is announced meanwhile counts at once, and nothing is remembered for
// ever.
func TestMembersAreRememberedWithoutTheStore(t *testing.T) {
	for name, answer := range map[string]func(ctx context.Context) error{
		"it hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"it fails": func(context.Context) error { return errors.New("connection refused") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var away atomic.Bool
				var lookups atomic.Int64
				st := &stubStore{membersOf: func(ctx context.Context, _ chat.ConversationID) ([]chat.UserID, int64, error) {
					if lookups.Add(1); away.Load() {
						return nil, 0, answer(ctx)
					}
					return numberedUsers(2), 1, nil
				}}
				g := newTestGateway(t, st, nil)
				loads := func(id chat.ConversationID) (*memberList, error) {
					began := time.Now()
					m, err := g.members.load(t.Context(), id)
					if took := time.Since(began); took > lookUpPatience {
						t.Errorf("%v for the members", took)
					}
					return m, err
				}
				const other, unknown chat.ConversationID = 8, 9
				for _, id := range []chat.ConversationID{conversation, other} {
					if _, err := loads(id); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(memberListTTL - time.Second)
				away.Store(true)
				began := time.Now()
				for time.Since(began) < time.Minute {
					time.Sleep(100 * time.Millisecond)
					for _, id := range []chat.ConversationID{conversation, other} {
						if m, cached := g.members.get(id); cached {
							if !m.has(1) {
								t.Fatalf("%v without the store: no member", time.Since(began))
							}
							continue
						}
						if waited := time.Since(began); waited > 3*time.Second {
							t.Fatalf("%v without the store: a send waits", waited)
						}
						if m, err := loads(id); err != nil || !m.has(1) {
							t.Fatalf("%v without the store: %v", time.Since(began), err)
						}
					}
				}
				if n := lookups.Load(); n > 70 {
					t.Errorf("the store was asked %d times", n)
				}
				if _, err := loads(unknown); err == nil {
					t.Error("members whom nobody has told are known")
				}
				(*subscriber)(g).Deliver(&pubsub.Envelope{Items: []pubsub.Item{{Membership: &pubsub.Membership{
					Conversation: other, MembersRev: 2, MembersRevBefore: 1, Left: []chat.UserID{1},
				}}}})
				if m, cached := g.members.get(other); !cached || m.has(1) || !m.has(2) {
					t.Error("who was removed is still a member")
				}
				g.members.invalidateAll()
				if _, err := loads(conversation); err == nil {
					t.Error("members are known although announcements were lost")
				}

				away.Store(false)
				time.Sleep(lookUpTimeoutAndMore)
				if _, err := loads(conversation); err != nil {
					t.Fatalf("when the store answers again: %v", err)
				}
				away.Store(true)
				time.Sleep(memberListMemory + time.Second)
				if _, err := loads(conversation); err == nil {
					t.Error("members are remembered for ever")
				}
			})
		})
	}
}

// lookUpTimeoutAndMore is when a look-up of before has ended.
const lookUpTimeoutAndMore = callTimeout + circuitbreaker.Cooldown

// Frames that wait for a look-up are bounded: those that do not fit are dropped, and
// all clients are asked to sync.
func TestFramesThatWaitAreBounded(t *testing.T) {
	release := make(chan struct{})
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		<-release
		return []chat.UserID{1}, 1, nil
	}}
	g := newTestGateway(t, st, nil)
	frame := make([]byte, maxLoadFrames/4)
	for range 4 {
		g.members.deliver(conversation, delivery{rev: 1, frame: frame})
	}
	if len(g.resyncs) != 0 {
		t.Error("frames that fit were dropped")
	}
	g.members.deliver(conversation, delivery{rev: 1, frame: frame})
	g.members.mu.Lock()
	if l := g.members.loads[conversation]; len(g.resyncs) != 1 || len(l.pending) != 0 || l.bytes != 0 {
		t.Errorf("%d frames of %d bytes wait; asked to sync: %d", len(l.pending), l.bytes, len(g.resyncs))
	}
	g.members.mu.Unlock()
	close(release)
	if _, err := g.members.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkMemberJoins measures what a gateway does for each person who joins a
// conversation and the frame that tells of it.
func BenchmarkMemberJoins(b *testing.B) {
	for _, members := range []int{100, 5_000, 50_000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			lookups := 0
			st := &stubStore{members: func() ([]chat.UserID, int64, error) {
				lookups++
				return numberedUsers(members), 1, nil
			}}
			g := newTestGateway(b, st, nil)
			if _, err := g.members.load(b.Context(), conversation); err != nil {
				b.Fatal(err)
			}
			rev := int64(1)
			b.ReportAllocs()
			for b.Loop() {
				// One comes and another goes, so that the size stays.
				user := chat.UserID(1 + rev*7919%int64(members))
				for _, m := range []pubsub.Membership{{Left: []chat.UserID{user}}, {Joined: []chat.UserID{user}}} {
					m.Conversation, m.MembersRevBefore, m.MembersRev = conversation, rev, rev+1
					rev++
					g.members.changed(&m)
				}
				g.members.deliver(conversation, delivery{rev: rev, frame: []byte("{}")})
			}
			b.ReportMetric(float64(lookups-1)/float64(b.N), "lookups/op")
		})
	}
}

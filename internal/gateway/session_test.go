package gateway

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// slowAttach is a presence whose Attach returns only after a Detach.
type slowAttach struct {
	presence.Presence
	attaching, detached chan struct{}
	detaches            atomic.Int32
}

func (p *slowAttach) Attach(ctx context.Context, d presence.Device) (presence.State, bool, error) {
	close(p.attaching)
	<-p.detached
	return p.Presence.Attach(ctx, d)
}

func (p *slowAttach) Detach(ctx context.Context, d presence.Device) (presence.State, bool, error) {
	if p.detaches.Add(1) == 1 {
		defer close(p.detached)
	}
	return p.Presence.Detach(ctx, d)
}

// noopAnnouncer ignores announcements.
type noopAnnouncer struct{ Announcer }

func (noopAnnouncer) PresenceChanged(context.Context, presence.State) {}

// noopStore ignores last-seen times.
type noopStore struct{ Store }

func (noopStore) SetLastSeen(context.Context, chat.UserID, time.Time) error { return nil }

// A connection that closes while its device is being attached leaves no device
// behind.
func TestDetachDuringAttach(t *testing.T) {
	p := &slowAttach{Presence: localpresence.New(nil), attaching: make(chan struct{}), detached: make(chan struct{})}
	g := &Gateway{
		cfg: Config{Node: "a"}.WithDefaults(), ctx: t.Context(), log: slog.New(slog.DiscardHandler),
		deps: Dependencies{Presence: p, Announcer: noopAnnouncer{}, Store: noopStore{}},
	}
	s := newSession(g, 1, 1)
	attached := make(chan struct{})
	go func() {
		defer close(attached)
		s.attach()
	}()
	<-p.attaching
	s.detach()
	<-attached
	nodes, err := p.NodesOf(t.Context(), []chat.UserID{1})
	if err != nil || len(nodes[0]) > 0 {
		t.Errorf("the device is on %v, %v", nodes, err)
	}
}

// countingLimiter counts who holds a bucket.
type countingLimiter struct {
	submission.Limiter
	acquired []string
}

func (l *countingLimiter) Acquire(user string) *throttle.Bucket {
	l.acquired = append(l.acquired, user)
	return l.Limiter.Acquire(user)
}

// A session that sends nothing holds no token bucket; one that sends
// holds one bucket.
func TestIdleSessionHoldsLittle(t *testing.T) {
	g := newTestGateway(t, &stubStore{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{1}, 1, nil }}, func(chat.Submission, func(error)) {})
	limiter := &countingLimiter{Limiter: g.deps.SendLimiter}
	g.deps.SendLimiter = limiter
	g.submissions = newSubmissions(g)
	s := newTestSession(t, g, 1)
	if _, err := g.members.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
	s.handleInline(inbound{&wire.Ping{}, 1, 0})
	if len(limiter.acquired) > 0 || s.sender != nil {
		t.Errorf("an idle session holds the buckets of %v", limiter.acquired)
	}
	for arrival := range int64(3) {
		s.handleInline(inbound{newSend("hello"), arrival + 2, 0})
	}
	if !slices.Equal(limiter.acquired, []string{"1"}) {
		t.Errorf("a session that sends holds the buckets of %v", limiter.acquired)
	}
}

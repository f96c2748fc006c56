package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
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
		cfg: Config{Node: "a"}.withDefaults(), ctx: t.Context(), log: slog.New(slog.DiscardHandler),
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

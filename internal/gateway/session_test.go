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

// slowToAttach is a presence in which a device comes when it has gone already.
type slowToAttach struct {
	presence.Presence
	attaching, detached chan struct{}
	detaches            atomic.Int32
}

func (p *slowToAttach) Attach(ctx context.Context, d presence.Device) (presence.State, bool, error) {
	close(p.attaching)
	<-p.detached
	return p.Presence.Attach(ctx, d)
}

func (p *slowToAttach) Detach(ctx context.Context, d presence.Device) (presence.State, bool, error) {
	if p.detaches.Add(1) == 1 {
		defer close(p.detached)
	}
	return p.Presence.Detach(ctx, d)
}

// nobodyHears takes announcements.
type nobodyHears struct{ Announcer }

func (nobodyHears) PresenceChanged(context.Context, presence.State) {}

// nobodySees takes when people were seen last.
type nobodySees struct{ Store }

func (nobodySees) SetLastSeen(context.Context, chat.UserID, time.Time) error { return nil }

// A socket that closes before its device is known leaves no device behind.
func TestADeviceThatComesWhenItHasGone(t *testing.T) {
	where := &slowToAttach{Presence: localpresence.New(nil), attaching: make(chan struct{}), detached: make(chan struct{})}
	g := &Gateway{
		cfg: Config{Node: "a"}.WithDefaults(), ctx: t.Context(), log: slog.New(slog.DiscardHandler),
		parts: Parts{Presence: where, Announce: nobodyHears{}, Store: nobodySees{}},
	}
	s := newSession(g, 1, 1)
	attached := make(chan struct{})
	go func() {
		defer close(attached)
		s.attach()
	}()
	<-where.attaching
	s.detach()
	<-attached
	nodes, err := where.NodesOf(t.Context(), []chat.UserID{1})
	if err != nil || len(nodes[0]) > 0 {
		t.Errorf("the device is on %v, %v", nodes, err)
	}
}

// Package localpresence keeps presence in memory, for a system in one process.
package localpresence

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
)

const shards = 64

// Presence is a presence in memory. See [New].
type Presence struct {
	now    func() time.Time
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu    sync.RWMutex
	users map[chat.UserID]*user
}

// user exists as long as it has devices.
type user struct {
	devices []device
}

type device struct {
	node string
	id   int64
	away bool
}

var _ presence.Presence = (*Presence)(nil)

// New returns a presence in which nobody is online. now is the clock, time.Now
// when nil.
func New(now func() time.Time) *Presence {
	if now == nil {
		now = time.Now
	}
	p := &Presence{now: now, seed: maphash.MakeSeed()}
	for i := range p.shards {
		p.shards[i].users = map[chat.UserID]*user{}
	}
	return p
}

func (p *Presence) shard(id chat.UserID) *shard {
	return &p.shards[maphash.Comparable(p.seed, id)%shards]
}

func (u *user) presence() chat.Presence {
	if u == nil || len(u.devices) == 0 {
		return chat.Offline
	}
	for _, d := range u.devices {
		if !d.away {
			return chat.Online
		}
	}
	return chat.Away
}

func (u *user) find(d presence.Device) int {
	return slices.IndexFunc(u.devices, func(x device) bool { return x.id == d.ID && x.node == d.Node })
}

// change runs f on the user of d and reports whether the user's presence changed.
func (p *Presence) change(d presence.Device, f func(u *user)) (presence.State, bool, error) {
	s := p.shard(d.User)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[d.User]
	if u == nil {
		u = &user{}
		s.users[d.User] = u
	}
	before := u.presence()
	f(u)
	after := u.presence()
	if len(u.devices) == 0 {
		delete(s.users, d.User)
	}
	state := presence.State{User: d.User, Presence: after}
	if after == chat.Offline && before != after {
		state.LastSeen = p.now().UTC().Truncate(time.Millisecond)
	}
	return state, before != after, nil
}

// Attach implements [presence.Presence].
func (p *Presence) Attach(_ context.Context, d presence.Device) (presence.State, bool, error) {
	return p.change(d, func(u *user) {
		if i := u.find(d); i >= 0 {
			u.devices[i].away = false
			return
		}
		u.devices = append(u.devices, device{node: d.Node, id: d.ID})
	})
}

// SetAway implements [presence.Presence]. A device that is not attached is
// ignored.
func (p *Presence) SetAway(_ context.Context, d presence.Device, away bool) (presence.State, bool, error) {
	return p.change(d, func(u *user) {
		if i := u.find(d); i >= 0 {
			u.devices[i].away = away
		}
	})
}

// Detach implements [presence.Presence].
func (p *Presence) Detach(_ context.Context, d presence.Device) (presence.State, bool, error) {
	return p.change(d, func(u *user) {
		if i := u.find(d); i >= 0 {
			u.devices = slices.Delete(u.devices, i, i+1)
		}
	})
}

// NodesOf implements [presence.Presence].
func (p *Presence) NodesOf(_ context.Context, users []chat.UserID) ([][]string, error) {
	out := make([][]string, len(users))
	// One array for all users, sized for the common case of a single node each.
	nodes := make([]string, 0, len(users))
	for i, id := range users {
		s := p.shard(id)
		s.mu.RLock()
		if u := s.users[id]; u != nil {
			start := len(nodes)
			for _, d := range u.devices {
				if !slices.Contains(nodes[start:], d.node) {
					nodes = append(nodes, d.node)
				}
			}
			out[i] = nodes[start:len(nodes):len(nodes)]
		}
		s.mu.RUnlock()
	}
	return out, nil
}

// States implements [presence.Presence].
func (p *Presence) States(_ context.Context, users []chat.UserID) ([]presence.State, error) {
	out := make([]presence.State, len(users))
	for i, id := range users {
		s := p.shard(id)
		s.mu.RLock()
		out[i] = presence.State{User: id, Presence: s.users[id].presence()}
		s.mu.RUnlock()
	}
	return out, nil
}

package redispresence

import (
	"context"
	"slices"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// Attach implements [presence.Presence]. It remembers the device and tells
// Redis, later if it must: without Redis people still talk, and are found
// again when it is back.
func (p *Presence) Attach(ctx context.Context, d presence.Device) (presence.State, bool, error) {
	at := place{d.User, d.Node}
	p.mu.Lock()
	if i := p.find(d); i >= 0 {
		p.mine[at][i].away = false
	} else {
		p.mine[at] = append(p.mine[at], device{id: d.ID})
	}
	firstNode := !p.nodes[d.Node]
	p.nodes[d.Node] = true
	p.mu.Unlock()
	if firstNode {
		if err := p.say(ctx, d.Node); err != nil {
			return p.later(d, err)
		}
		p.forgetLiving()
	}
	return p.write(ctx, d, "set")
}

// SetAway implements [presence.Presence]. A device that is not attached is
// passed over.
func (p *Presence) SetAway(ctx context.Context, d presence.Device, isAway bool) (presence.State, bool, error) {
	p.mu.Lock()
	if i := p.find(d); i >= 0 {
		p.mine[place{d.User, d.Node}][i].away = isAway
	}
	p.mu.Unlock()
	return p.write(ctx, d, "away")
}

// Detach implements [presence.Presence]. Where Redis cannot be told, it is told
// later, as of everything else.
func (p *Presence) Detach(ctx context.Context, d presence.Device) (presence.State, bool, error) {
	at := place{d.User, d.Node}
	p.mu.Lock()
	if i := p.find(d); i >= 0 {
		if p.mine[at] = slices.Delete(p.mine[at], i, i+1); len(p.mine[at]) == 0 {
			delete(p.mine, at)
		}
	}
	p.mu.Unlock()
	return p.write(ctx, d, "remove")
}

// find gives a device's index among the user's on the node, -1 when it is not
// there. p.mu is held.
func (p *Presence) find(d presence.Device) int {
	return slices.IndexFunc(p.mine[place{d.User, d.Node}], func(x device) bool { return x.id == d.ID })
}

// write tells Redis of a device. Its turn may come after another call about the
// device, which is why it looks again what there is.
func (p *Presence) write(ctx context.Context, d presence.Device, do string) (presence.State, bool, error) {
	at := place{d.User, d.Node}
	bounded, cancel := redisconn.Bounded(ctx)
	defer cancel()
	if err := p.turn(bounded, at); err != nil {
		return p.later(d, err)
	}
	defer p.endTurns(at)
	c := p.wanted(d, do)
	if c.do == "set" {
		if err := p.client.Do(bounded, p.note(at)).Error(); err != nil {
			return p.later(d, err)
		}
	}
	states, changed, err := p.run(bounded, []change{c})
	if err != nil {
		return p.later(d, err)
	}
	if c.do == "node" {
		// Last, because whoever cannot be taken off is found by the note.
		p.client.Do(bounded, p.unnote(at))
	}
	return states[0], changed[0], nil
}

// wanted is the change that makes Redis know of a device what is so now. Where
// the user has no device left, all is taken off: one that could not be before
// would not be found any more.
func (p *Presence) wanted(d presence.Device, do string) change {
	p.mu.Lock()
	defer p.mu.Unlock()
	devices := p.mine[place{d.User, d.Node}]
	i := p.find(d)
	switch {
	case len(devices) == 0:
		return change{user: d.User, do: "node", on: d.Node}
	case i < 0:
		return change{user: d.User, do: "remove", on: field(d)}
	case do == "remove": // it is here again
		do = "set"
	}
	return change{user: d.User, do: do, on: field(d), value: active(devices[i].away), counting: d.Node}
}

func active(isAway bool) string {
	if isAway {
		return "0"
	}
	return "1"
}

// note writes down that a user has devices on a node.
func (p *Presence) note(at place) rueidis.Completed {
	return p.client.B().Sadd().Key(p.usersKey(at.node)).Member(at.user.String()).Build()
}

// unnote takes that back.
func (p *Presence) unnote(at place) rueidis.Completed {
	return p.client.B().Srem().Key(p.usersKey(at.node)).Member(at.user.String()).Build()
}

// later leaves what is so to be told when Redis is back.
func (p *Presence) later(d presence.Device, err error) (presence.State, bool, error) {
	p.mu.Lock()
	first := !p.unsure
	p.unsure = true
	p.mu.Unlock()
	if first {
		p.cfg.Logger.Error("presence cannot be kept in Redis; it will be told again", "error", err)
	}
	return presence.State{User: d.User, Presence: chat.Online}, false, nil
}

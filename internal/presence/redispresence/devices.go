package redispresence

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// Attach implements [presence.Presence]. It keeps the device in memory and
// registers it in Redis, later if necessary: without Redis users can still chat,
// and they are found again when it is back.
func (p *Presence) Attach(ctx context.Context, d presence.Device) (presence.State, bool, error) {
	at := userNode{d.User, d.Node}
	p.mu.Lock()
	if i := p.find(d); i >= 0 {
		p.devices[at][i].away = false
	} else {
		p.devices[at] = append(p.devices[at], device{id: d.ID})
	}
	firstOfNode := !p.nodes[d.Node]
	p.nodes[d.Node] = true
	p.mu.Unlock()
	return p.write(ctx, d, "set", firstOfNode)
}

// SetAway implements [presence.Presence]. A device that is not attached is
// ignored.
func (p *Presence) SetAway(ctx context.Context, d presence.Device, isAway bool) (presence.State, bool, error) {
	p.mu.Lock()
	if i := p.find(d); i >= 0 {
		p.devices[userNode{d.User, d.Node}][i].away = isAway
	}
	p.mu.Unlock()
	return p.write(ctx, d, "away", false)
}

// Detach implements [presence.Presence]. When Redis fails, the device is removed
// there later.
func (p *Presence) Detach(ctx context.Context, d presence.Device) (presence.State, bool, error) {
	at := userNode{d.User, d.Node}
	p.mu.Lock()
	if i := p.find(d); i >= 0 {
		if p.devices[at] = slices.Delete(p.devices[at], i, i+1); len(p.devices[at]) == 0 {
			delete(p.devices, at)
		}
	}
	p.mu.Unlock()
	return p.write(ctx, d, "remove", false)
}

// find returns a device's index among the user's devices on the node, -1 when it
// is not there. The caller holds p.mu.
func (p *Presence) find(d presence.Device) int {
	return slices.IndexFunc(p.devices[userNode{d.User, d.Node}], func(x device) bool { return x.id == d.ID })
}

// writePatience is how long a caller waits for a write. One of a Redis that hangs, or
// is connected to again, takes longer, and goes on without the caller: a connection
// begins, and its messages are sent, whatever Redis does.
const writePatience = 250 * time.Millisecond

// pendingWrite is a write that its caller may leave.
type pendingWrite struct {
	mu                  sync.Mutex
	begun, ended, alone bool // alone: the caller has left
	state               presence.State
	changed             bool
	err                 error
}

// write writes a device to Redis. Another call about the device may have come
// first, so it writes the current state.
func (p *Presence) write(ctx context.Context, d presence.Device, op string, firstOfNode bool) (presence.State, bool, error) {
	if err := ctx.Err(); err != nil {
		return p.deferWrite(d, err)
	}
	w := &pendingWrite{}
	waiting, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	_, err := redisconn.Call(waiting, p.client, 0, func() struct{} {
		w.mu.Lock()
		w.begun = true
		w.mu.Unlock()
		p.finish(ctx, w, d, op, firstOfNode)
		return struct{}{}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended && w.err == nil:
		return w.state, w.changed, nil
	case w.ended:
		return p.deferWrite(d, w.err)
	case !w.begun:
		w.alone = true // it may begin at this moment
		return p.deferWrite(d, err)
	}
	w.alone = true
	return presence.State{User: d.User, Presence: chat.Online}, false, nil
}

// finish makes a write. When the caller has left, it tells what came of it in the
// caller's place.
func (p *Presence) finish(ctx context.Context, w *pendingWrite, d presence.Device, op string, firstOfNode bool) {
	ctx = context.WithoutCancel(ctx)
	state, changed, err := p.writeNow(ctx, d, op, firstOfNode)
	w.mu.Lock()
	w.ended, w.state, w.changed, w.err = true, state, changed, err
	alone := w.alone
	w.mu.Unlock()
	if !alone {
		return
	}
	if err != nil {
		_, _, _ = p.deferWrite(d, err)
		return
	}
	if changed {
		p.cfg.OnChange(ctx, state)
	}
	if op == "set" {
		p.cfg.OnRegistered(d.User) // the device could not be found until now
	}
}

func (p *Presence) writeNow(ctx context.Context, d presence.Device, op string, firstOfNode bool) (presence.State, bool, error) {
	at := userNode{d.User, d.Node}
	bounded, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	if firstOfNode {
		if err := p.renewNode(bounded, d.Node); err != nil {
			return presence.State{}, false, err
		}
		p.invalidateNodeList()
	}
	if err := p.lockWrite(bounded, at); err != nil {
		return presence.State{}, false, err
	}
	defer p.unlockWrites(at)
	c := p.currentChange(d, op)
	if c.op == "set" {
		if err := p.client.Do(bounded, p.recordUser(at)).Error(); err != nil {
			return presence.State{}, false, err
		}
	}
	states, changed, err := p.runChanges(bounded, []change{c})
	if err != nil {
		return presence.State{}, false, err
	}
	if c.op == "node" {
		// Last, because a user who could not be removed is found by this record.
		p.client.Do(bounded, p.unrecordUser(at))
	}
	return states[0], changed[0], nil
}

// currentChange returns the change that writes the current state of a device to
// Redis. When the user has no device left, all are removed: one that could not be
// removed before would not be found any more.
func (p *Presence) currentChange(d presence.Device, op string) change {
	p.mu.Lock()
	defer p.mu.Unlock()
	devices := p.devices[userNode{d.User, d.Node}]
	i := p.find(d)
	switch {
	case len(devices) == 0:
		return change{user: d.User, op: "node", target: d.Node}
	case i < 0:
		return change{user: d.User, op: "remove", target: field(d)}
	case op == "remove": // it was attached again
		op = "set"
	}
	return change{user: d.User, op: op, target: field(d), value: encodeActive(devices[i].away), assumeAlive: d.Node}
}

func encodeActive(isAway bool) string {
	if isAway {
		return "0"
	}
	return "1"
}

// recordUser returns the command that records that a user has devices on a node.
func (p *Presence) recordUser(at userNode) rueidis.Completed {
	return p.client.B().Sadd().Key(p.usersKey(at.node)).Member(at.user.String()).Build()
}

// unrecordUser returns the command that removes this record.
func (p *Presence) unrecordUser(at userNode) rueidis.Completed {
	return p.client.B().Srem().Key(p.usersKey(at.node)).Member(at.user.String()).Build()
}

// deferWrite leaves the current state to be registered when Redis is back.
func (p *Presence) deferWrite(d presence.Device, err error) (presence.State, bool, error) {
	p.mu.Lock()
	first := !p.outOfSync
	p.outOfSync, p.unwritten[d.User] = true, true
	p.mu.Unlock()
	if first {
		p.cfg.Logger.Error("presence could not be written to Redis; it will be registered again", "error", err)
	}
	return presence.State{User: d.User, Presence: chat.Online}, false, nil
}

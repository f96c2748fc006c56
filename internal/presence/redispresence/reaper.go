package redispresence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// maintain sends heartbeats for this process's nodes, registers their devices
// again when Redis may have lost them, and removes dead nodes, until ctx ends.
func (p *Presence) maintain(ctx context.Context) {
	tick := time.NewTicker(heartbeatInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := p.maintainOnce(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Logger.Error("presence could not be written to Redis; trying again", "error", err)
		}
	}
}

// maintainOnce does it once. The next call repeats what failed.
func (p *Presence) maintainOnce(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			p.mu.Lock()
			p.outOfSync = true
			p.mu.Unlock()
		}
	}()
	p.mu.Lock()
	nodes := make([]string, 0, len(p.nodes))
	for node := range p.nodes {
		nodes = append(nodes, node)
	}
	reregister := p.outOfSync
	p.mu.Unlock()
	for _, node := range nodes {
		known, err := p.renewKnownNode(ctx, node)
		if err != nil {
			return err
		}
		if !known {
			p.setForgotten()
		}
		reregister = reregister || !known
	}
	if !reregister && p.registrationsLost(ctx) {
		p.setForgotten()
		reregister = true
	}
	if reregister {
		p.invalidateNodeList()
		if err := p.reregister(ctx, nodes); err != nil {
			return err
		}
		p.registered()
	}
	return p.reapDeadNodes(ctx)
}

func (p *Presence) setForgotten() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgotten = true
}

// registered reports whose devices were registered again, if any could not be
// found before.
func (p *Presence) registered() {
	p.mu.Lock()
	users, all := slices.Collect(maps.Keys(p.unwritten)), p.forgotten
	clear(p.unwritten)
	p.forgotten = false
	p.mu.Unlock()
	switch {
	case all:
		p.cfg.OnRegistered()
	case len(users) > 0:
		p.cfg.OnRegistered(users...)
	}
}

// applyChanges makes changes and reports the changed states to OnChange.
func (p *Presence) applyChanges(ctx context.Context, changes []change) error {
	for part := range slices.Chunk(changes, maxPipeline) {
		states, changed, err := p.runChanges(ctx, part)
		if err != nil {
			return err
		}
		p.notifyChanges(ctx, states, changed)
	}
	return nil
}

func (p *Presence) notifyChanges(ctx context.Context, states []presence.State, changed []bool) {
	for i := range states {
		if changed[i] && p.cfg.OnChange != nil {
			p.cfg.OnChange(ctx, states[i])
		}
	}
}

// reapTimeout is how long a process has the devices of a dead node to itself, to
// remove them.
const reapTimeout = 10 * time.Second

// reapDeadNodes removes the devices of dead nodes. The node is forgotten last:
// when this fails, another call begins anew after reapTimeout.
func (p *Presence) reapDeadNodes(ctx context.Context) error {
	bounded, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	dead, err := claimDeadScript.Exec(bounded, p.client, []string{p.nodesKey(), p.deadNodesKey()},
		[]string{strconv.FormatInt(p.reapTimeout.Milliseconds(), 10)}).AsStrSlice()
	if err != nil {
		return fmt.Errorf("find dead gateways: %w", err)
	}
	for _, node := range dead {
		if err := p.reap(ctx, node); err != nil {
			return fmt.Errorf("remove the dead gateway %s: %w", node, err)
		}
	}
	return nil
}

func (p *Presence) reap(ctx context.Context, node string) error {
	bounded, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	users, err := p.recordedUsers(bounded, node)
	if err != nil {
		return err
	}
	p.cfg.Logger.Warn("a gateway is dead; removing its devices", "node", node, "users", len(users))
	changes := make([]change, len(users))
	for i, user := range users {
		// The node counted as alive until now, so the change is reported.
		changes[i] = change{user: user, op: "node", target: node, assumeAlive: node}
	}
	if err := p.applyChanges(ctx, changes); err != nil {
		return err
	}
	last, cancelLast := redisconn.WithCallTimeout(ctx)
	defer cancelLast()
	if err := p.client.Do(last, p.client.B().Del().Key(p.usersKey(node)).Build()).Error(); err != nil {
		return err
	}
	return forgetScript.Exec(last, p.client, []string{p.nodesKey(), p.deadNodesKey()}, []string{node}).Error()
}

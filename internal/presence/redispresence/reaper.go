package redispresence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// keep says that this process's nodes live, tells their devices again when
// Redis may have forgotten them, and clears away nodes that are gone.
func (p *Presence) keep(ctx context.Context) {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := p.tend(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Logger.Error("presence cannot be kept in Redis; trying again", "error", err)
		}
	}
}

// tend does it once. What fails is done again by the next one.
func (p *Presence) tend(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			p.mu.Lock()
			p.unsure = true
			p.mu.Unlock()
		}
	}()
	p.mu.Lock()
	nodes := make([]string, 0, len(p.nodes))
	for node := range p.nodes {
		nodes = append(nodes, node)
	}
	again := p.unsure
	p.mu.Unlock()
	for _, node := range nodes {
		known, err := p.sayKnown(ctx, node)
		if err != nil {
			return err
		}
		again = again || !known
	}
	if again || p.forgotten(ctx) {
		p.forgetLiving()
		if err := p.tellAgain(ctx, nodes); err != nil {
			return err
		}
	}
	return p.clear(ctx)
}

// apply makes changes and passes on what they changed.
func (p *Presence) apply(ctx context.Context, changes []change) error {
	for part := range slices.Chunk(changes, chunk) {
		states, changed, err := p.run(ctx, part)
		if err != nil {
			return err
		}
		p.passOn(ctx, states, changed)
	}
	return nil
}

func (p *Presence) passOn(ctx context.Context, states []presence.State, changed []bool) {
	for i := range states {
		if changed[i] && p.cfg.OnChange != nil {
			p.cfg.OnChange(ctx, states[i])
		}
	}
}

// clear takes the devices of dead nodes off.
func (p *Presence) clear(ctx context.Context) error {
	bounded, cancel := redisconn.Bounded(ctx)
	defer cancel()
	dead, err := deadScript.Exec(bounded, p.client, []string{p.nodesKey()}, nil).AsStrSlice()
	if err != nil {
		return fmt.Errorf("look for dead gateways: %w", err)
	}
	for _, node := range dead {
		users, err := p.noted(bounded, node)
		if err != nil {
			return fmt.Errorf("clear a dead gateway away: %w", err)
		}
		p.cfg.Logger.Warn("a gateway is gone; its devices are taken off", "node", node, "people", len(users))
		changes := make([]change, len(users))
		for i, user := range users {
			// It counted until now, so what is told is the change.
			changes[i] = change{user: user, do: "node", on: node, counting: node}
		}
		if err := p.apply(ctx, changes); err != nil {
			return err
		}
		p.client.Do(bounded, p.client.B().Del().Key(p.usersKey(node)).Build())
	}
	return nil
}

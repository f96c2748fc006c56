package redispresence

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// alive tells whether a node lives. One that the list does not have may have
// come since, so the list is asked for once more.
func (p *Presence) alive(ctx context.Context, node string) (bool, error) {
	p.mu.Lock()
	known, fresh := p.living[node], p.cfg.Now().Before(p.lookAt)
	mine := p.nodes[node]
	p.mu.Unlock()
	if fresh && (known || mine) {
		return true, nil
	}
	living, err := p.livingNodes(ctx)
	if err != nil {
		return false, err
	}
	if slices.Contains(living, node) {
		return true, nil
	}
	p.mu.Lock()
	_, looked := p.living[node]
	if !looked {
		p.living[node] = false // looked for, until the next list
	}
	p.mu.Unlock()
	if looked {
		return false, nil
	}
	p.forgetLiving()
	if living, err = p.livingNodes(ctx); err != nil {
		return false, err
	}
	alive := slices.Contains(living, node)
	if !alive {
		p.mu.Lock()
		p.living[node] = false
		p.mu.Unlock()
	}
	return alive, nil
}

// lived tells whether a node did when that was last known.
func (p *Presence) lived(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.living[node] || p.nodes[node]
}

func (p *Presence) forgetLiving() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookAt = time.Time{}
}

// livingNodes are the nodes that live, by a list that is not older than believe.
func (p *Presence) livingNodes(ctx context.Context) ([]string, error) {
	list := func() ([]string, bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.cfg.Now().Before(p.lookAt) {
			return nil, false
		}
		out := make([]string, 0, len(p.living))
		for node, alive := range p.living {
			if alive {
				out = append(out, node)
			}
		}
		return out, true
	}
	if out, ok := list(); ok {
		return out, nil
	}
	select {
	case p.looking <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("read which gateways live: %w", ctx.Err())
	}
	defer func() { <-p.looking }()
	if out, ok := list(); ok {
		return out, nil
	}
	result, err := redisconn.Call(ctx, p.client, grace, func() rueidis.RedisResult { return livingScript.Exec(ctx, p.client, []string{p.nodesKey()}, nil) })
	var nodes []string
	if err == nil {
		nodes, err = result.AsStrSlice()
	}
	if err != nil {
		return nil, fmt.Errorf("read which gateways live: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.living, p.lookAt = make(map[string]bool, len(nodes)), p.cfg.Now().Add(believe)
	for _, node := range nodes {
		p.living[node] = true
	}
	return nodes, nil
}

// The time is Redis' own, so that no two processes disagree.
const luaNow = `local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) `

var (
	livingScript = rueidis.NewLuaScript(luaNow + `return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')`)
	// sayScript says that a node lives, and tells whether it was known to.
	sayScript = rueidis.NewLuaScript(luaNow + `
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return known and 1 or 0`)
	deadScript = rueidis.NewLuaScript(luaNow + `
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
for _, node in ipairs(dead) do redis.call('ZREM', KEYS[1], node) end
return dead`)
)

func (p *Presence) say(ctx context.Context, node string) error {
	_, err := p.sayKnown(ctx, node)
	return err
}

func (p *Presence) sayKnown(ctx context.Context, node string) (known bool, err error) {
	ctx, cancel := redisconn.Bounded(ctx)
	defer cancel()
	n, err := sayScript.Exec(ctx, p.client, []string{p.nodesKey()}, []string{node, strconv.FormatInt(nodeLife.Milliseconds(), 10)}).AsInt64()
	return n == 1, err
}

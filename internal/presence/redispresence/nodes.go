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

// alive reports whether a node is alive. A node that is missing in the cached list
// may be new, so the list is fetched once more.
func (p *Presence) alive(ctx context.Context, node string) (bool, error) {
	p.mu.Lock()
	listed, fresh := p.nodeList[node], p.cfg.Now().Before(p.nodeListExpires)
	own := p.nodes[node]
	p.mu.Unlock()
	if fresh && (listed || own) {
		return true, nil
	}
	live, err := p.liveNodes(ctx)
	if err != nil {
		return false, err
	}
	if slices.Contains(live, node) {
		return true, nil
	}
	p.mu.Lock()
	_, checked := p.nodeList[node]
	if !checked {
		p.nodeList[node] = false // checked, until the next list
	}
	p.mu.Unlock()
	if checked {
		return false, nil
	}
	p.invalidateNodeList()
	if live, err = p.liveNodes(ctx); err != nil {
		return false, err
	}
	alive := slices.Contains(live, node)
	if !alive {
		p.mu.Lock()
		p.nodeList[node] = false
		p.mu.Unlock()
	}
	return alive, nil
}

// lastKnownAlive reports whether a node was alive in the last list, however old.
func (p *Presence) lastKnownAlive(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nodeList[node] || p.nodes[node]
}

// invalidateNodeList makes the next lookup fetch the list of live nodes.
func (p *Presence) invalidateNodeList() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodeListExpires = time.Time{}
	p.nodeListChanges++
}

// withOwnNodes adds the nodes of this process to the live nodes: a list that was
// read before such a node registered lacks it.
func (p *Presence) withOwnNodes(live []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	live = live[:len(live):len(live)]
	for node := range p.nodes {
		if !slices.Contains(live, node) {
			live = append(live, node)
		}
	}
	return live
}

// liveNodes returns the live nodes, from a list that is not older than
// nodeListTTL.
func (p *Presence) liveNodes(ctx context.Context) ([]string, error) {
	cached := func() ([]string, bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.cfg.Now().Before(p.nodeListExpires) {
			return nil, false
		}
		out := make([]string, 0, len(p.nodeList))
		for node, alive := range p.nodeList {
			if alive {
				out = append(out, node)
			}
		}
		return out, true
	}
	if out, ok := cached(); ok {
		return out, nil
	}
	select {
	case p.nodeListFetch <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("read the live gateways: %w", ctx.Err())
	}
	defer func() { <-p.nodeListFetch }()
	if out, ok := cached(); ok {
		return out, nil
	}
	p.mu.Lock()
	changes := p.nodeListChanges
	p.mu.Unlock()
	result, err := redisconn.Call(ctx, p.client, deadlineGrace, func() rueidis.RedisResult { return liveScript.Exec(ctx, p.client, []string{p.nodesKey()}, nil) })
	var nodes []string
	if err == nil {
		nodes, err = result.AsStrSlice()
	}
	if err != nil {
		return nil, fmt.Errorf("read the live gateways: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nodeListChanges != changes {
		return nodes, nil // it may have been read before the change, so the next caller reads it again
	}
	p.nodeList, p.nodeListExpires = make(map[string]bool, len(nodes)), p.cfg.Now().Add(nodeListTTL)
	for _, node := range nodes {
		p.nodeList[node] = true
	}
	return nodes, nil
}

// The scripts use the time of Redis, so that no two processes disagree.
const luaNow = `local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) `

var (
	liveScript = rueidis.NewLuaScript(luaNow + `return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')`)
	// settledScript returns for how many milliseconds Redis has known of us: who asks
	// counts as well, since there may be no gateway that has a device.
	settledScript = rueidis.NewLuaScript(luaNow + `
redis.call('SET', KEYS[1], now, 'NX')
return now - redis.call('GET', KEYS[1])`)
	// renewScript is a heartbeat of a node. It returns whether Redis knew the node, and
	// not as one that is dead: then nobody has found its devices since, and some may
	// have been removed.
	renewScript = rueidis.NewLuaScript(luaNow + `
redis.call('SET', KEYS[2], now, 'NX')
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return known and tonumber(known) > now and 1 or 0`)
	// claimDeadScript returns the dead nodes whose devices the caller is to remove.
	// Nobody else gets them before the time in ARGV[1], in milliseconds, is over:
	// then the caller has failed.
	claimDeadScript = rueidis.NewLuaScript(luaNow + `
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], node)
  redis.call('ZADD', KEYS[2], 0, node)
end
local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)
for _, node in ipairs(dead) do redis.call('ZADD', KEYS[2], now + ARGV[1], node) end
return dead`)
	// forgetScript removes a dead node when its devices are removed. One that lives
	// after all, because its process was only stopped for a while, registers again
	// when it finds itself unknown.
	forgetScript = rueidis.NewLuaScript(`
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])`)
)

// renewNode sends a heartbeat of a node.
func (p *Presence) renewNode(ctx context.Context, node string) error {
	_, err := p.renewKnownNode(ctx, node)
	return err
}

// renewKnownNode sends a heartbeat of a node and reports whether Redis knew it.
func (p *Presence) renewKnownNode(ctx context.Context, node string) (known bool, err error) {
	ctx, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	n, err := renewScript.Exec(ctx, p.client, []string{p.nodesKey(), p.knownSinceKey()}, []string{node, strconv.FormatInt(nodeTTL.Milliseconds(), 10)}).AsInt64()
	return n == 1, err
}

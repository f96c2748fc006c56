package redispresence

import (
	"context"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// MaintainOnce does what is done at each heartbeat.
func (p *Presence) MaintainOnce(ctx context.Context) error { return p.maintainOnce(ctx) }

// ClaimDeadNodes begins to remove dead nodes, and leaves it at that, as a process
// that dies meanwhile.
func (p *Presence) ClaimDeadNodes(ctx context.Context, timeout time.Duration) ([]string, error) {
	return claimDeadScript.Exec(ctx, p.client, []string{p.nodesKey(), p.deadNodesKey()}, []string{strconv.FormatInt(timeout.Milliseconds(), 10)}).AsStrSlice()
}

// Settle has an empty Redis look as if it had known of gateways for long.
func Settle(ctx context.Context, c *redisconn.Client) error {
	p := Presence{client: c}
	return c.Do(ctx, c.B().Set().Key(p.knownSinceKey()).Value("1").Build()).Error()
}

// Expire has a node's last heartbeat be too old.
func Expire(ctx context.Context, c *redisconn.Client, node string) error {
	p := Presence{client: c}
	return c.Do(ctx, c.B().Zadd().Key(p.nodesKey()).ScoreMember().ScoreMember(1, node).Build()).Error()
}

// MarkOutOfSync makes the next MaintainOnce register everything again.
func (p *Presence) MarkOutOfSync() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outOfSync = true
}

// Entries returns how many users' devices, and writes in progress, are in memory.
func (p *Presence) Entries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.devices) + len(p.writeLocks)
}

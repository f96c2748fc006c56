package redispresence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// reregister registers the devices of this process in Redis, and removes all
// others of its nodes.
func (p *Presence) reregister(ctx context.Context, nodes []string) error {
	p.mu.Lock()
	p.outOfSync = false // a write that fails from now on sets it again
	p.mu.Unlock()
	all, err := p.registrations(ctx, nodes)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(all, maxPipeline) {
		states, changed, err := p.register(ctx, part)
		if err != nil {
			return err
		}
		p.notifyChanges(ctx, states, changed)
	}
	return nil
}

// registrations returns every userNode that has devices, and every one of which
// Redis may still have devices although none is left. The latter are recorded in
// Redis only, so an outage needs no memory here.
func (p *Presence) registrations(ctx context.Context, nodes []string) ([]userNode, error) {
	ctx, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	all := map[userNode]bool{}
	for _, node := range nodes {
		users, err := p.recordedUsers(ctx, node)
		if err != nil {
			return nil, fmt.Errorf("read the users of node %s: %w", node, err)
		}
		for _, user := range users {
			all[userNode{user, node}] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := range p.devices {
		all[at] = true
	}
	return slices.Collect(maps.Keys(all)), nil
}

// recordedUsers returns the users who are recorded in Redis to have devices on a
// node.
func (p *Presence) recordedUsers(ctx context.Context, node string) ([]chat.UserID, error) {
	members, err := p.client.Do(ctx, p.client.B().Smembers().Key(p.usersKey(node)).Build()).AsStrSlice()
	users := make([]chat.UserID, 0, len(members))
	for _, member := range members {
		var user chat.UserID
		if user.UnmarshalText([]byte(member)) == nil {
			users = append(users, user)
		}
	}
	return users, err
}

// register writes the devices of each userNode to Redis, while it holds all their
// write locks. Only reregister takes several write locks, so there is no deadlock.
func (p *Presence) register(ctx context.Context, all []userNode) ([]presence.State, []bool, error) {
	ctx, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	for i, at := range all {
		if err := p.lockWrite(ctx, at); err != nil {
			p.unlockWrites(all[:i]...)
			return nil, nil, err
		}
	}
	defer p.unlockWrites(all...)
	changes := make([]change, len(all))
	var record, unrecord rueidis.Commands
	p.mu.Lock()
	for i, at := range all {
		devices := p.devices[at]
		changes[i] = change{user: at.user, op: "node", target: at.node, value: encodeDevices(devices), assumeAlive: at.node}
		if len(devices) > 0 {
			record = append(record, p.recordUser(at))
		} else {
			unrecord = append(unrecord, p.unrecordUser(at))
		}
	}
	p.mu.Unlock()
	for _, result := range p.client.DoMulti(ctx, record...) {
		if err := result.Error(); err != nil {
			return nil, nil, err
		}
	}
	states, changed, err := p.runChanges(ctx, changes)
	if err == nil {
		p.client.DoMulti(ctx, unrecord...)
	}
	return states, changed, err
}

// encodeDevices returns the value of operation "node" of the script.
func encodeDevices(devices []device) string {
	var b strings.Builder
	for _, d := range devices {
		b.WriteString(strconv.FormatInt(d.id, 10) + " " + encodeActive(d.away) + " ")
	}
	return b.String()
}

// sampleSize is how many users are looked up to notice that a shard of a cluster
// has lost its data.
const sampleSize = 64

// registrationsLost reports whether Redis has lost users of this process: a shard
// of a cluster may have lost them but not the node. It is also true when a shard
// does not answer: it may be empty when it is back.
func (p *Presence) registrationsLost(ctx context.Context) bool {
	ctx, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	var commands rueidis.Commands
	p.mu.Lock()
	for at, devices := range p.devices { // in random order, so others each time
		if len(commands) == sampleSize {
			break
		}
		if p.writeLocks[at] == nil { // otherwise it is being written
			d := presence.Device{User: at.user, Node: at.node, ID: devices[0].id}
			commands = append(commands, p.client.B().Hexists().Key(p.userKey(at.user)).Field(field(d)).Build())
		}
	}
	p.mu.Unlock()
	for _, result := range p.client.DoMulti(ctx, commands...) {
		if exists, err := result.AsBool(); err == nil && !exists {
			return true
		}
	}
	return false
}

package redispresence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// NodesOf implements [presence.Presence]. When a shard of a cluster is
// unavailable, users of the other shards are found.
func (p *Presence) NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error) {
	out := make([][]string, len(users))
	unknown, err := p.forEachDevice(ctx, users, func(i int, node string, _ bool) {
		if !slices.Contains(out[i], node) {
			out[i] = append(out[i], node)
		}
	})
	for i := range out {
		slices.Sort(out[i])
	}
	if err != nil {
		return out, &presence.PartialError{Unknown: unknown, Err: err}
	}
	return out, nil
}

// settleTime is how long Redis must have known of gateways for users of whom it
// knows nothing to be offline. When it has forgotten everything, each gateway notices
// at a heartbeat, and registers its devices again; one that has not done so by then
// counts as dead.
const settleTime = nodeTTL

var errForgotten = errors.New("it is not known who is connected: Redis has forgotten it")

// States implements [presence.Presence].
func (p *Presence) States(ctx context.Context, users []chat.UserID) ([]presence.State, error) {
	out := make([]presence.State, len(users))
	for i, user := range users {
		out[i] = presence.State{User: user, Presence: chat.Offline}
	}
	unknown, err := p.forEachDevice(ctx, users, func(i int, _ string, isAway bool) {
		switch {
		case !isAway:
			out[i].Presence = chat.Online
		case out[i].Presence == chat.Offline:
			out[i].Presence = chat.Away
		}
	})
	var absent []int
	for i := range out {
		if out[i].Presence == chat.Offline && !unknown[i] {
			absent = append(absent, i)
		}
	}
	if len(absent) > 0 {
		// Asked afterwards: Redis had not forgotten them before.
		if unsettled := p.settled(ctx); unsettled != nil {
			for _, i := range absent {
				unknown[i] = true
			}
			err = cmp.Or(err, unsettled)
		}
	}
	if err != nil {
		return out, &presence.PartialError{Unknown: unknown, Err: err}
	}
	return out, nil
}

// settled returns an error when Redis does not say that whoever it has no device of
// is offline.
func (p *Presence) settled(ctx context.Context) error {
	ctx, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	result, err := redisconn.Call(ctx, p.client, deadlineGrace, func() rueidis.RedisResult {
		return settledScript.Exec(ctx, p.client, []string{p.knownSinceKey()}, nil)
	})
	var age int64
	if err == nil {
		age, err = result.AsInt64()
	}
	if err == nil && age < settleTime.Milliseconds() {
		err = errForgotten
	}
	return err
}

// forEachDevice calls f for every device of users that is on a live node. With an
// error it returns for which users, at the same index, it may have missed some.
func (p *Presence) forEachDevice(ctx context.Context, users []chat.UserID, f func(i int, node string, isAway bool)) (unknown []bool, missing error) {
	ctx, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	// The same user may occur many times in one batch.
	index := make(map[chat.UserID]int, len(users))
	var distinct []chat.UserID
	for _, user := range users {
		if _, found := index[user]; !found {
			index[user] = len(distinct)
			distinct = append(distinct, user)
		}
	}
	devices, missing := p.readDevices(ctx, distinct)
	unknown = make([]bool, len(users))
	listFailed := false
	for i, user := range users {
		unknown[i] = devices[index[user]] == nil
		for name, value := range devices[index[user]] {
			slash := strings.LastIndexByte(name, '/')
			if slash < 0 {
				continue
			}
			node := name[:slash]
			var alive bool
			if !listFailed {
				var err error
				if alive, err = p.alive(ctx, node); err != nil {
					missing, listFailed = err, true
				}
			}
			if listFailed {
				// A node that was alive a moment ago most likely still is.
				alive = p.lastKnownAlive(node)
				unknown[i] = unknown[i] || !alive
			}
			if alive {
				f(i, node, value == "0")
			}
		}
	}
	return unknown, missing
}

// readDevices returns the devices that Redis has of each user, nil where it did
// not answer.
func (p *Presence) readDevices(ctx context.Context, users []chat.UserID) (devices []map[string]string, missing error) {
	commands := make(rueidis.Commands, len(users))
	for i, user := range users {
		commands[i] = p.client.B().Hgetall().Key(p.userKey(user)).Build()
	}
	devices = make([]map[string]string, len(users))
	results, err := redisconn.Call(ctx, p.client, deadlineGrace, func() []rueidis.RedisResult { return p.client.DoMulti(ctx, commands...) })
	if err != nil {
		return devices, fmt.Errorf("read presence: %w", err)
	}
	for i, result := range results {
		found, err := result.AsStrMap()
		if err != nil {
			missing = fmt.Errorf("read presence: %w", err)
			continue
		}
		devices[i] = found
	}
	return devices, missing
}

// deadlineGrace is how long a call may take to return after its context has ended,
// with the results that it has by then.
const deadlineGrace = 50 * time.Millisecond

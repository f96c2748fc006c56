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

// tellAgain makes Redis know the devices of this process, and no others of its
// nodes.
func (p *Presence) tellAgain(ctx context.Context, nodes []string) error {
	p.mu.Lock()
	p.unsure = false // whoever cannot write from now on says so once more
	p.mu.Unlock()
	places, err := p.places(ctx, nodes)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(places, chunk) {
		states, changed, err := p.tell(ctx, part)
		if err != nil {
			return err
		}
		p.passOn(ctx, states, changed)
	}
	return nil
}

// places are those in which there are devices, and those of which Redis may
// know some, though none is left: they are remembered there alone, however many
// go while Redis is away.
func (p *Presence) places(ctx context.Context, nodes []string) ([]place, error) {
	ctx, cancel := redisconn.Bounded(ctx)
	defer cancel()
	all := map[place]bool{}
	for _, node := range nodes {
		users, err := p.noted(ctx, node)
		if err != nil {
			return nil, fmt.Errorf("read who was on %s: %w", node, err)
		}
		for _, user := range users {
			all[place{user, node}] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := range p.mine {
		all[at] = true
	}
	return slices.Collect(maps.Keys(all)), nil
}

// noted are the users who are noted to have devices on a node.
func (p *Presence) noted(ctx context.Context, node string) ([]chat.UserID, error) {
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

// tell tells Redis which devices there are in places, each once, in the turn of
// each. Only who tells again has several turns, so nobody waits in a ring.
func (p *Presence) tell(ctx context.Context, places []place) ([]presence.State, []bool, error) {
	ctx, cancel := redisconn.Bounded(ctx)
	defer cancel()
	for i, at := range places {
		if err := p.turn(ctx, at); err != nil {
			p.endTurns(places[:i]...)
			return nil, nil, err
		}
	}
	defer p.endTurns(places...)
	changes := make([]change, len(places))
	var notes, unnotes rueidis.Commands
	p.mu.Lock()
	for i, at := range places {
		devices := p.mine[at]
		changes[i] = change{user: at.user, do: "node", on: at.node, value: list(devices), counting: at.node}
		if len(devices) > 0 {
			notes = append(notes, p.note(at))
		} else {
			unnotes = append(unnotes, p.unnote(at))
		}
	}
	p.mu.Unlock()
	for _, result := range p.client.DoMulti(ctx, notes...) {
		if err := result.Error(); err != nil {
			return nil, nil, err
		}
	}
	states, changed, err := p.run(ctx, changes)
	if err == nil {
		p.client.DoMulti(ctx, unnotes...)
	}
	return states, changed, err
}

// list is a node's value for the script.
func list(devices []device) string {
	var b strings.Builder
	for _, d := range devices {
		b.WriteString(strconv.FormatInt(d.id, 10) + " " + active(d.away) + " ")
	}
	return b.String()
}

// samples is how many people are looked up to notice that a part of a cluster
// came back empty.
const samples = 64

// forgotten tells whether Redis lacks people who are here: a part of a cluster
// may have forgotten them and not the node. It is also true when a part does not
// answer: it may be empty when it does.
func (p *Presence) forgotten(ctx context.Context) bool {
	ctx, cancel := redisconn.Bounded(ctx)
	defer cancel()
	var asked rueidis.Commands
	p.mu.Lock()
	for at, devices := range p.mine { // in no order, so others each time
		if len(asked) == samples {
			break
		}
		if p.turns[at] == nil { // else it is being written
			d := presence.Device{User: at.user, Node: at.node, ID: devices[0].id}
			asked = append(asked, p.client.B().Hexists().Key(p.userKey(at.user)).Field(field(d)).Build())
		}
	}
	p.mu.Unlock()
	for _, result := range p.client.DoMulti(ctx, asked...) {
		if there, err := result.AsBool(); err != nil || !there {
			return true
		}
	}
	return false
}

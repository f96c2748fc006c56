package redispresence

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// A user's presence, as the script returns it.
const (
	offline = iota
	away
	online
)

// changeScript changes a user's devices and returns the presence before and after
// it. ARGV: the operation ("set", "away", "remove", "node"), the field or the
// node, the value, the live nodes. The value for operation "node" is all devices
// of the user on the node: "id value " each.
var changeScript = rueidis.NewLuaScript(`
local living = {}
for i = 4, #ARGV do living[ARGV[i]] = true end
local function reach()
  local best, all = 0, redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if living[string.match(all[i], '^(.*)/')] then
      best = math.max(best, all[i + 1] == '1' and 2 or 1)
    end
  end
  return best
end
local before = reach()
if ARGV[1] == 'set' then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
elseif ARGV[1] == 'away' then
  if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) end
elseif ARGV[1] == 'remove' then
  redis.call('HDEL', KEYS[1], ARGV[2])
elseif ARGV[1] == 'node' then
  local there = {}
  for id, value in string.gmatch(ARGV[3], '(%S+) (%S+)') do
    there[id] = true
    redis.call('HSET', KEYS[1], ARGV[2] .. '/' .. id, value)
  end
  for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do
    local node, id = string.match(f, '^(.*)/(.*)$')
    if node == ARGV[2] and not there[id] then redis.call('HDEL', KEYS[1], f) end
  end
end
return {before, reach()}
`)

// change is one run of the script.
type change struct {
	user        chat.UserID
	op          string
	target      string // field or node
	value       string
	assumeAlive string // a node that counts as alive in addition to the live nodes
}

func (c change) exec(p *Presence, live []string) rueidis.LuaExec {
	args := append([]string{c.op, c.target, c.value}, live...)
	if c.assumeAlive != "" {
		args = append(args, c.assumeAlive)
	}
	return rueidis.LuaExec{Keys: []string{p.userKey(c.user)}, Args: args}
}

// runChanges makes changes and returns for each the state, and whether it changed.
func (p *Presence) runChanges(ctx context.Context, changes []change) ([]presence.State, []bool, error) {
	ctx, cancel := redisconn.WithCallTimeout(ctx)
	defer cancel()
	live, err := p.liveNodes(ctx)
	if err != nil {
		return nil, nil, err
	}
	live = p.withOwnNodes(live)
	execs := make([]rueidis.LuaExec, len(changes))
	for i, c := range changes {
		execs[i] = c.exec(p, live)
	}
	states, changed := make([]presence.State, len(changes)), make([]bool, len(changes))
	for i, result := range changeScript.ExecMulti(ctx, p.client, execs...) {
		reach, err := result.AsIntSlice()
		if err != nil || len(reach) != 2 {
			return nil, nil, errors.Join(errors.New("change presence"), err)
		}
		changed[i] = reach[0] != reach[1]
		states[i] = presence.State{User: changes[i].user, Presence: toPresence(reach[1])}
		if changed[i] && reach[1] == offline {
			states[i].LastSeen = p.cfg.Now().UTC().Truncate(time.Millisecond)
		}
	}
	return states, changed, nil
}

func toPresence(reach int64) chat.Presence {
	switch reach {
	case online:
		return chat.Online
	case away:
		return chat.Away
	}
	return chat.Offline
}

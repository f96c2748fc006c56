package redisthrottle

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// Throttle remembers failures in Redis, for all processes. It is safe for
// concurrent use. There is never an error: see what happens when Redis is away.
type Throttle struct {
	limits       *Limits
	rules        []string // arguments of the scripts
	try, forgive *rueidis.Lua
	mine         *throttle.Throttle // what this process let through
}

// Throttle makes the throttle of the installation. MaxKeys and Now are those of
// the memory that is used while Redis is away.
func (l *Limits) Throttle(cfg throttle.Config) (*Throttle, error) {
	cfg = cfg.WithDefaults()
	mine, err := throttle.New(cfg)
	if err != nil {
		return nil, err
	}
	return &Throttle{
		limits: l,
		rules:  []string{micros(cfg.Forget), strconv.Itoa(cfg.Free), micros(cfg.First), micros(cfg.Longest)},
		// Run with their text, they need no round trip before the first
		// to every server of a cluster, of which some may be away.
		try:     rueidis.NewLuaScriptNoSha(l.clock.lua + tryScript),
		forgive: rueidis.NewLuaScriptNoSha(l.clock.lua + forgiveScript),
		mine:    mine,
	}, nil
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// tryScript counts an attempt, or tells how long a key must wait. ARGV: how long
// failures are remembered, how many are free, the first wait and the longest. A
// clock that was set back must not make anyone wait longer.
const tryScript = `
local count, last, known = 0, now, redis.call('HMGET', KEYS[1], 'count', 'last')
if known[1] and now - known[2] <= tonumber(ARGV[1]) then
	count, last = tonumber(known[1]), known[2]
	local over, passed = count - ARGV[2], math.max(0, now - last)
	local wait = math.min(ARGV[3] * 2 ^ (over - 1), tonumber(ARGV[4])) - passed
	if over > 0 and wait > 0 then return wait end
end
redis.call('HSET', KEYS[1], 'count', count + 1, 'last', string.format('%.0f', now), 'before', string.format('%.0f', last))
redis.call('PEXPIREAT', KEYS[1], math.ceil((now + ARGV[1]) / 1000) + spare)
return 0`

// forgiveScript takes back an attempt. ARGV: how long failures are remembered.
const forgiveScript = `
local known = redis.call('HMGET', KEYS[1], 'count', 'last', 'before')
if not known[1] or now - known[2] > tonumber(ARGV[1]) then return 0 end
if tonumber(known[1]) <= 1 then return redis.call('DEL', KEYS[1]) end
local before = known[3] or known[2]
redis.call('HSET', KEYS[1], 'count', known[1] - 1, 'last', before)
redis.call('PEXPIREAT', KEYS[1], math.ceil((before + ARGV[1]) / 1000) + spare)
return 0`

func (t *Throttle) key(key string) string { return t.limits.key("failures", key) }

func (t *Throttle) args() []string {
	return append(t.rules[:len(t.rules):len(t.rules)], t.limits.clock.args()...)
}

// Try counts an attempt under each key, or tells how long to wait before the
// next one; see [throttle.Throttle.Try]. Each key is decided upon and counted in
// one step, but not all of them in one: in a cluster they are on different
// servers. So the keys before one that must wait can make others wait for the
// moment until they are taken back; nobody is let through who should not be.
func (t *Throttle) Try(ctx context.Context, keys ...string) (time.Duration, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	micros, ok := ask(ctx, t.limits, func(ctx context.Context) (wait int64, err error) {
		for i, key := range keys {
			wait, err = t.try.Exec(ctx, t.limits.client, []string{t.key(key)}, t.args()).AsInt64()
			if err == nil && wait > 0 {
				err = t.takeBack(ctx, keys[:i])
			}
			if err != nil || wait > 0 {
				return wait, err
			}
		}
		return 0, nil
	})
	switch theirs := time.Duration(micros) * time.Microsecond; {
	case ok && theirs > 0:
		return theirs, nil
	case ok && !t.limits.away.Open():
		t.mine.Count(keys...)
		return 0, nil
	}
	// What was let through while Redis was away it does not know, so before
	// the outage is over both must let the attempt through.
	wait, err := t.mine.Try(ctx, keys...)
	if ok && wait > 0 {
		t.forgiveThere(ctx, keys)
	}
	return wait, err
}

// takeBack takes back an attempt under each key, in Redis.
func (t *Throttle) takeBack(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	execs := make([]rueidis.LuaExec, len(keys))
	for i, key := range keys {
		execs[i] = rueidis.LuaExec{Keys: []string{t.key(key)}, Args: t.args()}
	}
	for _, result := range t.forgive.ExecMulti(ctx, t.limits.client, execs...) {
		if err := result.Error(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Throttle) forgiveThere(ctx context.Context, keys []string) {
	if len(keys) == 0 {
		return
	}
	ask(ctx, t.limits, func(ctx context.Context) (none struct{}, err error) {
		return none, t.takeBack(ctx, keys)
	})
}

// Forgive takes back one attempt under each key that was let through and did
// not fail.
func (t *Throttle) Forgive(ctx context.Context, keys ...string) error {
	t.forgiveThere(ctx, keys)
	return t.mine.Forgive(ctx, keys...)
}

// Succeeded forgets the failures under the keys, and the attempts under way.
func (t *Throttle) Succeeded(ctx context.Context, keys ...string) error {
	commands := make(rueidis.Commands, len(keys))
	for i, key := range keys {
		commands[i] = t.limits.client.B().Del().Key(t.key(key)).Build()
	}
	if len(keys) > 0 {
		ask(ctx, t.limits, func(ctx context.Context) (none struct{}, err error) {
			for _, result := range t.limits.client.DoMulti(ctx, commands...) {
				if err := result.Error(); err != nil {
					return none, err
				}
			}
			return none, nil
		})
	}
	return t.mine.Succeeded(ctx, keys...)
}

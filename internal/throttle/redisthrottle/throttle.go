package redisthrottle

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// Throttle counts failures in Redis, for all processes. It is safe for concurrent
// use. It never returns an error: see the package comment for what happens when
// Redis is unavailable.
type Throttle struct {
	limits                  *Limits
	rules                   []string // arguments of the scripts
	tryScript, cancelScript *rueidis.Lua
	local                   *throttle.Throttle // what this process allowed
}

// Throttle returns the throttle of the installation. MaxKeys and Now are those of
// the local throttle that is used while Redis is unavailable.
func (l *Limits) Throttle(cfg throttle.Config) *Throttle {
	cfg = cfg.WithDefaults()
	return &Throttle{
		limits: l,
		rules:  []string{micros(cfg.ForgetAfter), strconv.Itoa(cfg.FreeFailures), micros(cfg.FirstWait), micros(cfg.MaxWait)},
		// Scripts that are sent with their text need no loading on every server
		// of a cluster, of which some may be unavailable.
		tryScript:    rueidis.NewLuaScriptNoSha(l.clock.lua + tryLua),
		cancelScript: rueidis.NewLuaScriptNoSha(l.clock.lua + cancelLua),
		local:        throttle.New(cfg),
	}
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// tryLua counts an attempt, or returns how long a key must wait. ARGV: how long
// failures are kept, how many are free, the first wait and the maximum. A clock
// that was set back must not make anyone wait longer.
const tryLua = `
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

// cancelLua cancels an attempt. ARGV: how long failures are kept.
const cancelLua = `
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

// Try counts an attempt for each key, or returns how long to wait before the next
// one; see [throttle.Throttle.Try]. Each key is checked and counted atomically, but
// not all keys together: in a cluster they are on different servers. So the keys
// before one that must wait can make other callers wait until they are canceled;
// nobody is allowed who should not be.
func (t *Throttle) Try(ctx context.Context, keys ...string) (time.Duration, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	micros, ok := callRedis(ctx, t.limits, func(ctx context.Context) (wait int64, err error) {
		for i, key := range keys {
			wait, err = t.tryScript.Exec(ctx, t.limits.client, []string{t.key(key)}, t.args()).AsInt64()
			if err == nil && wait > 0 {
				err = t.cancelKeys(ctx, keys[:i])
			}
			if err != nil || wait > 0 {
				return wait, err
			}
		}
		return 0, nil
	})
	switch remote := time.Duration(micros) * time.Microsecond; {
	case ok && remote > 0:
		return remote, nil
	case ok && !t.limits.breaker.Open():
		t.local.Record(keys...)
		return 0, nil
	}
	// Redis does not know what was allowed while it was unavailable, so before the
	// outage is over both must allow the attempt.
	wait, err := t.local.Try(ctx, keys...)
	if ok && wait > 0 {
		t.cancelInRedis(ctx, keys)
	}
	return wait, err
}

// cancelKeys cancels an attempt of each key in Redis.
func (t *Throttle) cancelKeys(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	execs := make([]rueidis.LuaExec, len(keys))
	for i, key := range keys {
		execs[i] = rueidis.LuaExec{Keys: []string{t.key(key)}, Args: t.args()}
	}
	for _, result := range t.cancelScript.ExecMulti(ctx, t.limits.client, execs...) {
		if err := result.Error(); err != nil {
			return err
		}
	}
	return nil
}

// cancelInRedis does the same if Redis is available.
func (t *Throttle) cancelInRedis(ctx context.Context, keys []string) {
	if len(keys) == 0 {
		return
	}
	callRedis(ctx, t.limits, func(ctx context.Context) (none struct{}, err error) {
		return none, t.cancelKeys(ctx, keys)
	})
}

// Cancel cancels one attempt of each key that was allowed and did not fail.
func (t *Throttle) Cancel(ctx context.Context, keys ...string) error {
	t.cancelInRedis(ctx, keys)
	return t.local.Cancel(ctx, keys...)
}

// Reset deletes the failures of the keys, also attempts in progress.
func (t *Throttle) Reset(ctx context.Context, keys ...string) error {
	commands := make(rueidis.Commands, len(keys))
	for i, key := range keys {
		commands[i] = t.limits.client.B().Del().Key(t.key(key)).Build()
	}
	if len(keys) > 0 {
		callRedis(ctx, t.limits, func(ctx context.Context) (none struct{}, err error) {
			for _, result := range t.limits.client.DoMulti(ctx, commands...) {
				if err := result.Error(); err != nil {
					return none, err
				}
			}
			return none, nil
		})
	}
	return t.local.Reset(ctx, keys...)
}

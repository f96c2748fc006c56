package redisthrottle

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// Limiter lets each key do something so often and no more, over all processes.
// It is safe for concurrent use.
//
// It is the generic cell rate algorithm, in the form of virtual scheduling, of
// ITU-T Recommendation I.371, "Traffic control and congestion control in
// B-ISDN", which the ATM Forum's Traffic Management Specification has as well.
// A turn moves the time at which the key's bucket is full again (there: the
// theoretical arrival time) by the interval between turns; it is refused when
// that would be further away than an empty bucket needs. This is a token bucket
// of which a single number is kept.
type Limiter struct {
	limits *Limits
	kind   string
	args   []string
	script *rueidis.Lua
	mine   *throttle.Limiter // what this process let through
}

// Limiter makes a limiter that allows perSecond in the long run and burst at
// once, for each key; both must be above 0. The times between turns are whole
// microseconds, rounded up. Those of one name count together, and need to be
// alike in all processes.
func (l *Limits) Limiter(name string, perSecond float64, burst int) (*Limiter, error) {
	mine, err := throttle.NewLimiter(perSecond, burst)
	if err != nil {
		return nil, err
	}
	micros := math.Ceil(1e6 / perSecond)
	interval := int64(min(micros, float64(century.Microseconds()/int64(burst))))
	return &Limiter{
		limits: l, kind: "limit:" + name,
		args:   []string{strconv.FormatInt(interval, 10), strconv.FormatInt(interval*int64(burst), 10)},
		script: rueidis.NewLuaScript(l.clock.lua + takeScript),
		mine:   mine,
	}, nil
}

// century keeps times within what Lua's numbers hold to the microsecond, for
// rates near 0.
const century = 100 * 365 * 24 * time.Hour

// takeScript takes a turn, or tells how long to wait. ARGV: the interval, and
// how long an empty bucket takes to be full again. No bucket can be further
// from full than that: one that is was written by another clock, before a
// failover, or under other limits.
const takeScript = `
local interval, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or now)
full = math.max(now, math.min(full, now + longest)) + interval
local wait = full - now - longest
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PXAT', math.ceil(full / 1000) + spare)
return 0`

// Take takes one turn, or tells how long to wait before the next try. There is
// never an error: see what happens when Redis is away.
func (l *Limiter) Take(ctx context.Context, key string) (wait time.Duration, err error) {
	keys, args := []string{l.limits.key(l.kind, key)}, append(l.args[:2:2], l.limits.clock.args()...)
	micros, ok := ask(ctx, l.limits, func(ctx context.Context) (int64, error) {
		return l.script.Exec(ctx, l.limits.client, keys, args).AsInt64()
	})
	if ok && micros > 0 {
		return time.Duration(micros) * time.Microsecond, nil
	}
	wait, err = l.mine.Take(ctx, key)
	if ok {
		return 0, nil // Redis has decided; it was taken to be remembered
	}
	return wait, err
}

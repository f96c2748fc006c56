package redisthrottle

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// Limiter limits the rate of each key across all processes. It is safe for
// concurrent use.
//
// It is the generic cell rate algorithm, in the form of virtual scheduling, of
// ITU-T Recommendation I.371, "Traffic control and congestion control in
// B-ISDN", which the ATM Forum's Traffic Management Specification has as well.
// A token moves the time at which the key's bucket is full again (there: the
// theoretical arrival time) by the interval; it is refused when that would be
// later than an empty bucket needs. This is a token bucket whose state is a single
// number.
type Limiter struct {
	limits *Limits
	kind   string
	args   []string
	script *rueidis.Lua
	local  *throttle.Limiter // what this process allowed
}

// Limiter returns a limiter that allows perSecond in the long run and burst at
// once, for each key; both must be above 0. The interval is in whole microseconds,
// rounded up. Limiters of the same name count together, and must have the same
// limits in all processes.
func (l *Limits) Limiter(name string, perSecond float64, burst int) *Limiter {
	micros := math.Ceil(1e6 / perSecond)
	interval := int64(min(micros, float64(maxInterval.Microseconds()/int64(max(burst, 1)))))
	return &Limiter{
		limits: l, kind: "limit:" + name,
		args:   []string{strconv.FormatInt(interval, 10), strconv.FormatInt(interval*int64(burst), 10)},
		script: rueidis.NewLuaScript(l.clock.lua + takeLua),
		local:  throttle.NewLimiter(perSecond, burst),
	}
}

// maxInterval keeps times exact to the microsecond in Lua's numbers, for rates
// near 0.
const maxInterval = 100 * 365 * 24 * time.Hour

// takeLua takes a token, or returns how long to wait. ARGV: the interval, and how
// long an empty bucket takes to be full again. No bucket can need longer than
// that: one that does was written with another clock, before a failover, or with
// other limits.
const takeLua = `
local interval, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or now)
full = math.max(now, math.min(full, now + longest)) + interval
local wait = full - now - longest
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PXAT', math.ceil(full / 1000) + spare)
return 0`

// Take takes one token and returns 0, or returns how long to wait before the next
// try. It never returns an error: see the package comment for what happens when
// Redis is unavailable.
func (l *Limiter) Take(ctx context.Context, key string) (wait time.Duration, err error) {
	keys, args := []string{l.limits.key(l.kind, key)}, append(l.args[:2:2], l.limits.clock.args()...)
	micros, ok := callRedis(ctx, l.limits, func(ctx context.Context) (int64, error) {
		return l.script.Exec(ctx, l.limits.client, keys, args).AsInt64()
	})
	if ok && micros > 0 {
		return time.Duration(micros) * time.Microsecond, nil
	}
	wait, err = l.local.Take(ctx, key)
	if ok {
		return 0, nil // Redis has decided; the local token only keeps the count
	}
	return wait, err
}

package redisthrottle

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// Limiter limits the rate of each key over all processes. It is safe for concurrent
// use.
//
// It is the generic cell rate algorithm, in the form of virtual scheduling, of
// ITU-T Recommendation I.371, "Traffic control and congestion control in
// B-ISDN", which the ATM Forum's Traffic Management Specification has as well.
// A token moves the time at which the key's bucket is full again (there: the
// theoretical arrival time) by the interval; it is refused when that would be
// later than an empty bucket needs. This is a token bucket whose state is a single
// number.
//
// There are two ways to take a token. [Limiter.Take] calls Redis, and is exact. A
// bucket from [Limiter.Acquire] is in the memory of the process and never blocks;
// [Limiter.Run] synchronises these buckets with Redis. So each process may give up
// to a burst before they hear of each other. What is too much then is a debt of
// the key: neither way gives a token until it is made up for. In the long run the
// rate holds over all.
type Limiter struct {
	limits *Limits
	kind   string
	args   []string
	local  *throttle.Limiter // what this process allowed

	// The same script, for one call and for a pipeline. The pipeline contains its
	// text: a hash would have to be loaded on every server first.
	script, pipelined *rueidis.Lua
}

// Limiter returns a limiter that allows perSecond in the long run and burst at
// once, for each key; both must be above 0. The interval is in whole microseconds,
// rounded up. Limiters of the same name count together, and must have the same
// limits in all processes.
func (l *Limits) Limiter(name string, perSecond float64, burst int) (*Limiter, error) {
	local, err := throttle.NewReplica(perSecond, burst)
	if err != nil {
		return nil, err
	}
	micros := math.Ceil(1e6 / perSecond)
	interval := int64(min(micros, float64(maxInterval.Microseconds()/int64(burst))))
	capacity := interval * int64(burst)
	furthest := min(maxDebt*capacity, maxInterval.Microseconds())
	return &Limiter{
		limits: l, kind: "limit:" + name,
		args:      []string{strconv.FormatInt(interval, 10), strconv.FormatInt(capacity, 10), strconv.FormatInt(furthest, 10)},
		local:     local,
		script:    rueidis.NewLuaScript(l.clock.lua + takeLua),
		pipelined: rueidis.NewLuaScriptNoSha(l.clock.lua + takeLua),
	}, nil
}

const (
	// maxInterval keeps times exact to the microsecond in Lua's numbers, for rates
	// near 0.
	maxInterval = 100 * 365 * 24 * time.Hour
	// maxDebt limits how far from full a bucket can be, in bursts. It is also the
	// longest that users wait after a failover to a server with a slower clock,
	// where every bucket seems to have a debt.
	maxDebt = 16
	// syncInterval is how often buckets are synchronised.
	syncInterval = 250 * time.Millisecond
	// maxSyncBatch is the maximum number of buckets of one pipeline.
	maxSyncBatch = 500
)

// takeLua adds tokens that were given, then takes one more if the mode says so and
// there is one. It returns how long to wait for that one, and the time until the
// bucket is full. ARGV: the interval, the time that an empty bucket needs to be
// full, the same for one with the largest debt, the number of tokens that were
// given, and the mode. A bucket that needs longer was written with another clock,
// before a failover, or with other limits.
const takeLua = `
local interval, capacity, furthest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = tonumber(redis.call('GET', KEYS[1]) or now)
full = math.min(math.max(now, full) + ARGV[4] * interval, now + furthest)
local wait = 0
if ARGV[5] == 'take' then
	wait = math.max(0, full + interval - now - capacity)
	if wait == 0 then full = full + interval end
end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PXAT', math.ceil(full / 1000) + spare)
return {wait, full - now}`

// The modes of takeLua.
const (
	modeTake = "take"
	modeSync = "sync"
)

// exec returns a call of takeLua for a bucket, with the tokens that Redis has not
// heard of.
func (l *Limiter) exec(b *throttle.Bucket, mode string) rueidis.LuaExec {
	args := append(l.args[:len(l.args):len(l.args)], strconv.FormatInt(b.TakeUnsynced(), 10), mode)
	return rueidis.LuaExec{Keys: []string{l.limits.key(l.kind, b.Key())}, Args: append(args, l.limits.clock.args()...)}
}

// Take takes one token and returns 0, or returns how long to wait before the next
// try. It never returns an error: see the package comment for what happens when
// Redis is unavailable.
func (l *Limiter) Take(ctx context.Context, key string) (wait time.Duration, err error) {
	b := l.local.Acquire(key)
	defer b.Release()
	exec := l.exec(b, modeTake)
	answer, ok := callRedis(ctx, l.limits, func(ctx context.Context) ([]int64, error) {
		return l.script.Exec(ctx, l.limits.client, exec.Keys, exec.Args).AsIntSlice()
	})
	if !ok || len(answer) != 2 {
		return b.Take(), nil
	}
	b.Merge(fromMicros(answer[1])) // for when Redis becomes unavailable
	return fromMicros(answer[0]), nil
}

// Acquire returns the bucket of a key in this process, which [Limiter.Run]
// synchronises. The caller must release it.
func (l *Limiter) Acquire(key string) *throttle.Bucket { return l.local.Acquire(key) }

// Run synchronises buckets with Redis until ctx ends. It sleeps while nobody takes
// tokens.
func (l *Limiter) Run(ctx context.Context) {
	for l.local.Ready().Wait(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(syncInterval):
			l.syncAll(ctx)
		}
	}
}

func (l *Limiter) syncAll(ctx context.Context) {
	for buckets := range slices.Chunk(l.local.Unsynced(), maxSyncBatch) {
		l.sync(ctx, buckets)
	}
}

// sync adds the tokens of buckets to those in Redis, and merges the result. When
// Redis does not answer, they are not added later either.
func (l *Limiter) sync(ctx context.Context, buckets []*throttle.Bucket) {
	execs := make([]rueidis.LuaExec, len(buckets))
	for i, b := range buckets {
		execs[i] = l.exec(b, modeSync)
	}
	answers, _ := callRedis(ctx, l.limits, func(ctx context.Context) (answers [][]int64, err error) {
		answers = make([][]int64, len(buckets))
		for i, result := range l.pipelined.ExecMulti(ctx, l.limits.client, execs...) {
			answer, execErr := result.AsIntSlice()
			if execErr != nil {
				err = execErr // other servers of a Redis Cluster may have answered
				continue
			}
			answers[i] = answer
		}
		return answers, err
	})
	for i, answer := range answers {
		if len(answer) == 2 {
			buckets[i].Merge(fromMicros(answer[1]))
		}
	}
}

func fromMicros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

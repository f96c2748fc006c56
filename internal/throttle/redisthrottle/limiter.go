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
//
// There are two ways to take a turn. [Limiter.Take] asks Redis, and is exact.
// A bucket that is acquired counts in the process's memory and never waits;
// [Limiter.Run] settles with Redis what such buckets gave. So the processes
// together may give up to a burst each before they hear of each other. What is
// too much by then is a debt of the key, and nobody gives it a turn, by either
// way, until that is made up for: in the long run there is one rate.
type Limiter struct {
	limits *Limits
	kind   string
	args   []string
	mine   *throttle.Limiter // what this process let through

	// The same script: by its hash for one run, and with its text for many,
	// before which the hash would have to be made known to every server.
	one, many *rueidis.Lua
}

// Limiter makes a limiter that allows perSecond in the long run and burst at
// once, for each key; both are above 0. The times between turns are whole
// microseconds, rounded up. Those of one name count together, and need to be
// alike in all processes.
func (l *Limits) Limiter(name string, perSecond float64, burst int) *Limiter {
	micros := math.Ceil(1e6 / perSecond)
	interval := int64(min(micros, float64(century.Microseconds()/int64(max(burst, 1)))))
	longest := interval * int64(burst)
	furthest := min(maxDebt*longest, century.Microseconds())
	return &Limiter{
		limits: l, kind: "limit:" + name,
		args: []string{strconv.FormatInt(interval, 10), strconv.FormatInt(longest, 10), strconv.FormatInt(furthest, 10)},
		mine: throttle.NewReplica(perSecond, burst),
		one:  rueidis.NewLuaScript(l.clock.lua + takeScript),
		many: rueidis.NewLuaScriptNoSha(l.clock.lua + takeScript),
	}
}

const (
	// century keeps times within what Lua's numbers hold to the microsecond, for
	// rates near 0.
	century = 100 * 365 * 24 * time.Hour
	// maxDebt bounds, in bursts, how far a bucket can be from full.
	maxDebt = 16
	// settleInterval is how often what the buckets gave is settled.
	settleInterval = 250 * time.Millisecond
	// settleBatch bounds how many buckets are settled in one call.
	settleBatch = 500
)

// takeScript settles turns that were given, and takes another one if it may.
// It returns how long to wait for that one, and after what time the bucket will
// be full. ARGV: the interval, how long an empty bucket takes to be full again,
// how long a bucket with the largest debt does, the turns that were given, and
// 1 to take another. A bucket that is further from full was written by another
// clock, before a failover, or under other limits.
const takeScript = `
local interval, longest, furthest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = tonumber(redis.call('GET', KEYS[1]) or now)
full = math.min(math.max(now, full) + ARGV[4] * interval, now + furthest)
local wait = 0
if ARGV[5] == '1' then
	wait = math.max(0, full + interval - now - longest)
	if wait == 0 then full = full + interval end
end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PXAT', math.ceil(full / 1000) + spare)
return {wait, full - now}`

// exec is a run of the script for a bucket, which it settles.
func (l *Limiter) exec(b *throttle.Bucket, take string) rueidis.LuaExec {
	args := append(l.args[:len(l.args):len(l.args)], strconv.FormatInt(b.Settle(), 10), take)
	return rueidis.LuaExec{Keys: []string{l.limits.key(l.kind, b.Key())}, Args: append(args, l.limits.clock.args()...)}
}

// Take takes one turn, or tells how long to wait before the next try. There is
// never an error: see what happens when Redis is away.
func (l *Limiter) Take(ctx context.Context, key string) (wait time.Duration, err error) {
	b := l.mine.Acquire(key)
	defer b.Release()
	exec := l.exec(b, "1")
	answer, ok := ask(ctx, l.limits, func(ctx context.Context) ([]int64, error) {
		return l.one.Exec(ctx, l.limits.client, exec.Keys, exec.Args).AsIntSlice()
	})
	if !ok || len(answer) != 2 {
		return b.Take(), nil
	}
	b.Adopt(time.Duration(answer[1]) * time.Microsecond) // to be remembered, should Redis go away
	return time.Duration(answer[0]) * time.Microsecond, nil
}

// Acquire returns the bucket of a key in this process. [Limiter.Run] must run
// for it to be part of the limit over all.
func (l *Limiter) Acquire(key string) *throttle.Bucket { return l.mine.Acquire(key) }

// Run settles, until ctx ends, what buckets gave.
func (l *Limiter) Run(ctx context.Context) {
	ticker := time.NewTicker(settleInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.settleAll(ctx)
	}
}

func (l *Limiter) settleAll(ctx context.Context) {
	for buckets := range slices.Chunk(l.mine.Owing(), settleBatch) {
		l.settle(ctx, buckets)
	}
}

// settle tells Redis what buckets gave, and takes in what others gave. When
// Redis is away, what these gave is not told to it later either.
func (l *Limiter) settle(ctx context.Context, buckets []*throttle.Bucket) {
	execs := make([]rueidis.LuaExec, len(buckets))
	for i, b := range buckets {
		execs[i] = l.exec(b, "0")
	}
	answers, _ := ask(ctx, l.limits, func(ctx context.Context) (answers [][]int64, err error) {
		answers = make([][]int64, len(buckets))
		for i, result := range l.many.ExecMulti(ctx, l.limits.client, execs...) {
			// Of a cluster, some servers may answer and others not.
			answer, failed := result.AsIntSlice()
			if failed != nil {
				err = failed
				continue
			}
			answers[i] = answer
		}
		return answers, err
	})
	for i, answer := range answers {
		if len(answer) == 2 {
			buckets[i].Adopt(time.Duration(answer[1]) * time.Microsecond)
		}
	}
}

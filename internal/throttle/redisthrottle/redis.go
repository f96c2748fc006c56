// Package redisthrottle keeps the limits of package throttle in Redis, so that they
// hold over all processes of an installation.
//
// Each key has a place of its own, changed by a script that goes by Redis'
// clock, so that processes need not agree about the time. It is there for only
// as long as it says something, and can be lost at any time: who has just been
// slowed then starts afresh.
//
// # When Redis is away
//
// Neither logging in nor sending stops. Each process also counts in its own
// memory what it let through, and goes by that for as long as Redis does not
// answer. A limit then holds for each process by itself: those who guess are
// still slowed, less so the more processes they reach. What is counted meanwhile
// is not told to Redis when it is back; until the outage is over, which is after
// ten seconds of answers, both must let them through.
//
// An outage is logged when it begins and when it is over. No call waits longer
// than 250 ms, and for a second after one that had no answer Redis is not asked.
package redisthrottle

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

// patience is how long a call waits for Redis.
const patience = 250 * time.Millisecond

// Limits makes limiters and the throttle of an installation; see [New].
type Limits struct {
	client   *redisconn.Client
	away     *circuitbreaker.Breaker
	clock    clock
	patience time.Duration
}

// clock is how scripts know the time, in microseconds.
type clock struct {
	lua  string          // sets now, and spare: how many ms longer than needed keys live
	args func() []string // what lua needs, as the last arguments
}

// redisTime is the time of Redis itself, so that no two processes disagree.
var redisTime = clock{
	lua:  `local t = redis.call('TIME') local now, spare = t[1] * 1000000 + t[2], 0 `,
	args: func() []string { return nil },
}

// New makes what [Limits.Limiter] and [Limits.Throttle] share. The client stays
// the caller's.
func New(client *redisconn.Client, log *slog.Logger) *Limits {
	away := circuitbreaker.New(log, "Redis does not answer: limits hold for each process alone", "Redis answers again: limits hold over all processes")
	return &Limits{client: client, away: away, clock: redisTime, patience: patience}
}

// key is where something is kept about what. Names and addresses do not stand
// there in the clear, for those who look at Redis for other reasons, and have
// the same short length; it is no secret to somebody who tries names out.
func (l *Limits) key(kind, what string) string {
	sum := sha256.Sum256([]byte(what))
	return l.client.Key(kind + ":" + base64.RawURLEncoding.EncodeToString(sum[:16]))
}

var errLate = errors.New("there was no answer in time")

// ask has Redis asked, and tells whether it answered.
//
// Callers who hang up do not end the call: nobody may guess without a count by
// not waiting for the answer.
func ask[T any](ctx context.Context, l *Limits, call func(ctx context.Context) (T, error)) (answer T, ok bool) {
	if !l.away.Allow(time.Now()) {
		return answer, false
	}
	type result struct {
		answer T
		err    error
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.patience)
	defer cancel()
	r, err := redisconn.Call(ctx, l.client, 0, func() result {
		answer, err := call(ctx)
		return result{answer, err}
	})
	if err != nil {
		r.err = errLate
	}
	l.away.Record(time.Now(), r.err)
	return r.answer, r.err == nil
}

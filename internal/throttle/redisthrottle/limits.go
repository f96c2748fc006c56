// Package redisthrottle keeps the limits of package throttle in Redis, so that they
// hold across all processes of an installation.
//
// Each key has its own Redis key, changed by a script that uses Redis' clock, so
// that processes need not agree about the time. It expires as soon as it no longer
// matters, and can be lost at any time: whoever was slowed down then starts over.
//
// # When Redis is unavailable
//
// Logging in and sending continue. Each process also counts in its own memory what
// it allowed, and uses that while Redis does not answer. (The buckets of a limiter
// always use it, and are synchronised with Redis.) A limit then holds per
// process: guessing is still slowed down, but less the more processes a client
// reaches. The counts of a [Throttle] are not written to Redis when it is back;
// until the outage is over, which is after ten seconds of answers, both must allow
// an attempt. [Limiter.Take] asks Redis alone as soon as it answers.
//
// An outage is logged when it begins and when it ends. No call waits longer than
// 250 ms, and for a second after a call without an answer Redis is not called.
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

// callTimeout is how long a call waits for Redis.
const callTimeout = 250 * time.Millisecond

// Limits creates the limiters and the throttle of an installation; see [New].
type Limits struct {
	client  *redisconn.Client
	breaker *circuitbreaker.Breaker
	clock   clock
	timeout time.Duration
}

// clock is how scripts get the time, in microseconds.
type clock struct {
	lua  string          // sets now, and spare: how many ms keys live longer than needed
	args func() []string // what lua needs, as the last arguments
}

// redisTime uses the time of Redis, so that no two processes disagree.
var redisTime = clock{
	lua:  `local t = redis.call('TIME') local now, spare = t[1] * 1000000 + t[2], 0 `,
	args: func() []string { return nil },
}

// New returns what [Limits.Limiter] and [Limits.Throttle] share. The caller closes
// the client.
func New(client *redisconn.Client, log *slog.Logger) *Limits {
	breaker := circuitbreaker.New(log, "Redis does not answer: limits hold for each process alone", "Redis answers again: limits hold over all processes")
	return &Limits{client: client, breaker: breaker, clock: redisTime, timeout: callTimeout}
}

// key returns the Redis key for a name or address. It contains a hash, so that the
// name is not visible to those who look at Redis for other reasons, and the length
// is short and constant. The hash does not protect against guessing names.
func (l *Limits) key(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	return l.client.Key(kind + ":" + base64.RawURLEncoding.EncodeToString(sum[:16]))
}

var errTimeout = errors.New("there was no answer in time")

// callRedis calls Redis unless the circuit breaker is open. ok is false when there
// was no answer.
//
// The end of the caller's context does not cancel the call: otherwise nobody would
// count the guesses of a client that does not wait for the answer.
func callRedis[T any](ctx context.Context, l *Limits, call func(ctx context.Context) (T, error)) (answer T, ok bool) {
	if !l.breaker.Allow(time.Now()) {
		return answer, false
	}
	type result struct {
		answer T
		err    error
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.timeout)
	defer cancel()
	r, err := redisconn.Call(ctx, l.client, 0, func() result {
		answer, err := call(ctx)
		return result{answer, err}
	})
	if err != nil {
		r.err = errTimeout
	}
	l.breaker.Record(time.Now(), r.err)
	return r.answer, r.err == nil
}

package fanout

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
)

const (
	// lookupTimeout is how long an announcement waits for presence. The worker
	// that stores messages waits with it.
	lookupTimeout = 250 * time.Millisecond
	// reducedTimeout is how long it waits while a shard of presence hangs; the
	// other shards have answered by then.
	reducedTimeout = 25 * time.Millisecond
)

// locator asks presence which nodes users are connected to, and does not wait
// for a presence that hangs: devices that are not found catch up. It is safe for
// concurrent use.
type locator struct {
	presence     Locator
	breaker      *circuitbreaker.Breaker
	reducedUntil atomic.Int64 // end of the use of reducedTimeout, in Unix nanoseconds; 0 while no shard hangs
}

func newLocator(l Locator, log *slog.Logger) *locator {
	return &locator{presence: l, breaker: circuitbreaker.New(log, "users cannot be located; their devices will catch up", "users can be located again")}
}

var errBreakerOpen = errors.New("presence is not asked: the circuit breaker is open")

// locate returns the nodes that each user is connected to, and for which users
// that is unknown. Both results have the length of users.
func (l *locator) locate(ctx context.Context, users []chat.UserID) (nodesOf [][]string, unknown []bool) {
	now := time.Now()
	if !l.breaker.Allow(now) {
		return make([][]string, len(users)), presence.Unknown(errBreakerOpen, len(users))
	}
	timeout := l.timeout(now)
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	nodesOf, err := l.presence.NodesOf(bounded, users)
	unknown = presence.Unknown(err, len(users))
	if len(nodesOf) != len(users) {
		nodesOf = make([][]string, len(users))
	}
	if ctx.Err() == nil { // otherwise the caller gave up, which says nothing about presence
		l.record(err, bounded.Err() != nil, timeout == reducedTimeout, slices.Contains(unknown, false))
	}
	return nodesOf, unknown
}

// timeout returns reducedTimeout while a shard hangs, except for one call in
// each circuitbreaker.Cooldown, which finds out whether it still does.
func (l *locator) timeout(now time.Time) time.Duration {
	until := l.reducedUntil.Load()
	if until != 0 && (now.UnixNano() < until || !l.reducedUntil.CompareAndSwap(until, now.Add(circuitbreaker.Cooldown).UnixNano())) {
		return reducedTimeout
	}
	return lookupTimeout
}

// record records the result of a call: whether it timed out, whether its timeout
// was the reduced one, and whether it found the nodes of any user.
func (l *locator) record(err error, timedOut, reduced, found bool) {
	now := time.Now()
	switch {
	case err != nil && timedOut && !reduced && !found:
		l.breaker.Record(now, err)
		return
	case err != nil:
		l.breaker.RecordPartial(now, err)
	default:
		l.breaker.Record(now, nil)
	}
	switch {
	case reduced: // the next call with lookupTimeout finds out more
	case timedOut && err != nil:
		l.reducedUntil.Store(now.Add(circuitbreaker.Cooldown).UnixNano())
	default:
		l.reducedUntil.Store(0)
	}
}

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
	// patience is how long an announcement waits to learn where people are:
	// whoever stores messages waits with it.
	lookupTimeout = 250 * time.Millisecond
	// haste is how long it waits while a part of presence hangs; the others
	// have answered by then.
	reducedTimeout = 25 * time.Millisecond
)

// locator asks presence where people are, and does not wait for one that hangs:
// whoever is not found catches up. It is safe for concurrent use.
type locator struct {
	presence     Locator
	breaker      *circuitbreaker.Breaker
	reducedUntil atomic.Int64 // until when a part is known to hang, in Unix nanoseconds; 0 when none is
}

func newLocator(l Locator, log *slog.Logger) *locator {
	return &locator{presence: l, breaker: circuitbreaker.New(log, "people cannot be located; their devices will catch up", "people can be located again")}
}

var errBreakerOpen = errors.New("presence is left alone")

// locate finds out on which nodes people are, and of whom that is not known.
func (l *locator) locate(ctx context.Context, users []chat.UserID) (where [][]string, unknown []bool) {
	now := time.Now()
	if !l.breaker.Allow(now) {
		return make([][]string, len(users)), presence.Unknown(errBreakerOpen, len(users))
	}
	most := l.timeout(now)
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	where, err := l.presence.NodesOf(bounded, users)
	unknown = presence.Unknown(err, len(users))
	if len(where) != len(users) {
		where = make([][]string, len(users))
	}
	if ctx.Err() == nil { // else it says nothing of presence
		l.record(err, bounded.Err() != nil, most == reducedTimeout, slices.Contains(unknown, false))
	}
	return where, unknown
}

// timeout is haste while a part hangs, but for one call in each pause, which
// finds out whether it still does.
func (l *locator) timeout(now time.Time) time.Duration {
	until := l.reducedUntil.Load()
	if until != 0 && (now.UnixNano() < until || !l.reducedUntil.CompareAndSwap(until, now.Add(circuitbreaker.Cooldown).UnixNano())) {
		return reducedTimeout
	}
	return lookupTimeout
}

// record takes in how a call went: whether it took all the time it had, whether
// that was little, and whether it found out about anybody.
func (l *locator) record(err error, late, hasty, some bool) {
	now := time.Now()
	switch {
	case err != nil && late && !hasty && !some:
		l.breaker.Record(now, err)
		return
	case err != nil:
		l.breaker.RecordPartial(now, err)
	default:
		l.breaker.Record(now, nil)
	}
	switch {
	case hasty: // the next call with patience finds out more
	case late && err != nil:
		l.reducedUntil.Store(now.Add(circuitbreaker.Cooldown).UnixNano())
	default:
		l.reducedUntil.Store(0)
	}
}

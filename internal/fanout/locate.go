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
	patience = 250 * time.Millisecond
	// haste is how long it waits while a part of presence hangs; the others
	// have answered by then.
	haste = 25 * time.Millisecond
)

// locator asks presence where people are, and does not wait for one that hangs:
// whoever is not found catches up. It is safe for concurrent use.
type locator struct {
	presence Locator
	away     *circuitbreaker.Breaker
	hasty    atomic.Int64 // until when a part is known to hang, in Unix nanoseconds; 0 when none is
}

func newLocator(l Locator, log *slog.Logger) *locator {
	return &locator{presence: l, away: circuitbreaker.New(log, "people cannot be located; their devices will catch up", "people can be located again")}
}

var errPaused = errors.New("presence is left alone")

// locate finds out on which nodes people are, and of whom that is not known.
func (l *locator) locate(ctx context.Context, users []chat.UserID) (where [][]string, unknown []bool) {
	now := time.Now()
	if !l.away.Allow(now) {
		return make([][]string, len(users)), presence.Unknown(errPaused, len(users))
	}
	most := l.patience(now)
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	where, err := l.presence.NodesOf(bounded, users)
	unknown = presence.Unknown(err, len(users))
	if len(where) != len(users) {
		where = make([][]string, len(users))
	}
	if ctx.Err() == nil { // else it says nothing of presence
		l.note(err, bounded.Err() != nil, most == haste, slices.Contains(unknown, false))
	}
	return where, unknown
}

// patience is haste while a part hangs, but for one call in each pause, which
// finds out whether it still does.
func (l *locator) patience(now time.Time) time.Duration {
	until := l.hasty.Load()
	if until != 0 && (now.UnixNano() < until || !l.hasty.CompareAndSwap(until, now.Add(circuitbreaker.Cooldown).UnixNano())) {
		return haste
	}
	return patience
}

// note takes in how a call went: whether it took all the time it had, whether
// that was little, and whether it found out about anybody.
func (l *locator) note(err error, late, hasty, some bool) {
	now := time.Now()
	switch {
	case err != nil && late && !hasty && !some:
		l.away.Record(now, err)
		return
	case err != nil:
		l.away.RecordPartial(now, err)
	default:
		l.away.Record(now, nil)
	}
	switch {
	case hasty: // the next call with patience finds out more
	case late && err != nil:
		l.hasty.Store(now.Add(circuitbreaker.Cooldown).UnixNano())
	default:
		l.hasty.Store(0)
	}
}

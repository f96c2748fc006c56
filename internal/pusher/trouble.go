package pusher

import (
	"math/rand/v2"
	"time"
)

const (
	firstPause = time.Second
	lastPause  = 10 * time.Minute
	// A subscription ends after so many failures in a row, over so long: more
	// than a service's bad weekend. Who has it ended must subscribe anew.
	endFailures = 20
	endAfter    = 72 * time.Hour
)

// trouble is what is known of a device whose service took nothing the last
// time. It begins with a failure and ends with any answer; the zero value is
// none.
type trouble struct {
	pause time.Duration // the last one, before it is spread
	until time.Time     // nothing is sent before; zero when the pause is over

	failures int       // in a row, those that count for the end
	since    time.Time // of the first of them
	taken    int64     // by all services, as of the last of them
}

func (t *trouble) any() bool { return t.pause > 0 }

// fail notes a failure. The service may wish for a longer pause; taken is how
// many notifications all services have taken so far. It tells whether the
// subscription is to end.
func (t *trouble) fail(now time.Time, wish time.Duration, taken int64) (end bool) {
	t.pause = min(max(2*t.pause, firstPause), lastPause)
	// Spread, so that devices of one service do not come back together.
	t.until = now.Add(max(t.pause/2+rand.N(t.pause/2), wish))
	// While nobody takes anything, it may be our own network that is away.
	if t.failures > 0 && taken == t.taken {
		return false
	}
	if t.failures++; t.failures == 1 {
		t.since = now
	}
	t.taken = taken
	return t.failures >= endFailures && now.Sub(t.since) >= endAfter
}

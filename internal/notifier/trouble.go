package notifier

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
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
	pauses *backoff.Backoff // nil when there is none
	until  time.Time        // nothing is sent before; zero when the pause is over

	failures int       // in a row, those that count for the end
	since    time.Time // of the first of them
	taken    int64     // by all services, as of the last of them
}

func (t *trouble) any() bool { return t.pauses != nil }

// fail notes a failure. The service may wish for a longer pause; taken is how
// many notifications all services have taken so far. It tells whether the
// subscription is to end.
func (t *trouble) fail(now time.Time, wish time.Duration, taken int64) (end bool) {
	if t.pauses == nil {
		// Spread, so that devices of one service do not come back together.
		t.pauses = &backoff.Backoff{InitialInterval: firstPause, MaxInterval: lastPause, Jitter: 0.5}
	}
	t.until = now.Add(max(t.pauses.Next(), wish))
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

package notifier

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
)

const (
	minPause = time.Second
	maxPause  = 10 * time.Minute
	// A subscription ends after so many failures in a row, over so long: more
	// than a service's bad weekend. Who has it ended must subscribe anew.
	maxFailures = 20
	minFailurePeriod    = 72 * time.Hour
)

// backoffState is what is known of a device whose service took nothing the last
// time. It begins with a failure and ends with any answer; the zero value is
// none.
type backoffState struct {
	delays *backoff.Backoff // nil when there is none
	retryAt  time.Time        // nothing is sent before; zero when the pause is over

	failures int       // in a row, those that count for the end
	firstFailure    time.Time // of the first of them
	accepted    int64     // by all services, as of the last of them
}

func (t *backoffState) failing() bool { return t.delays != nil }

// recordFailure notes a failure. The service may wish for a longer pause; taken is how
// many notifications all services have taken so far. It tells whether the
// subscription is to end.
func (t *backoffState) recordFailure(now time.Time, wish time.Duration, taken int64) (end bool) {
	if t.delays == nil {
		// Spread, so that devices of one service do not come back together.
		t.delays = &backoff.Backoff{InitialInterval: minPause, MaxInterval: maxPause, Jitter: 0.5}
	}
	t.retryAt = now.Add(max(t.delays.Next(), wish))
	// While nobody takes anything, it may be our own network that is away.
	if t.failures > 0 && taken == t.accepted {
		return false
	}
	if t.failures++; t.failures == 1 {
		t.firstFailure = now
	}
	t.accepted = taken
	return t.failures >= maxFailures && now.Sub(t.firstFailure) >= minFailurePeriod
}

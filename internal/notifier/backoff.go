package notifier

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
)

const (
	minPause = time.Second
	maxPause = 10 * time.Minute
	// A subscription is dropped after maxFailures failures in a row over at least
	// minFailurePeriod, which is longer than an outage of a weekend. Its device must
	// subscribe again.
	maxFailures      = 20
	minFailurePeriod = 72 * time.Hour
)

// backoffState is the state of a device whose service failed the last time: it was
// unreachable, overloaded or broken. It begins with a failure and ends with any other
// answer. The zero value means that the last send did not fail so.
type backoffState struct {
	delays  *backoff.Backoff // nil when the last send did not fail
	retryAt time.Time        // nothing is sent before; zero after the pause

	failures     int       // in a row, those that count for dropping the subscription
	firstFailure time.Time // of the first of them
	accepted     int64     // by all services, at the last of them
}

// failing reports whether the last send failed.
func (s *backoffState) failing() bool { return s.delays != nil }

// recordFailure starts a pause, of retryAfter at least. accepted is how many
// notifications all services have accepted so far. It reports whether the
// subscription is to be dropped.
func (s *backoffState) recordFailure(now time.Time, retryAfter time.Duration, accepted int64) (drop bool) {
	if s.delays == nil {
		// Randomized, so that devices of one service are not retried together.
		s.delays = &backoff.Backoff{InitialInterval: minPause, MaxInterval: maxPause, Jitter: 0.5}
	}
	s.retryAt = now.Add(max(s.delays.Next(), retryAfter))
	// While no service accepts anything, our own network may be down.
	if s.failures > 0 && accepted == s.accepted {
		return false
	}
	if s.failures++; s.failures == 1 {
		s.firstFailure = now
	}
	s.accepted = accepted
	return s.failures >= maxFailures && now.Sub(s.firstFailure) >= minFailurePeriod
}

// Package linger has the batches of a hop wait for company where that pays.
//
// A hop that sends at once whatever it has runs at its highest rate of batches at
// any load. At ordinary rates each item then pays alone for the wake-ups, the system
// calls and the disk writes that a batch could share, and the wait for a processor
// that all of them cause is longer than a short wait for company. Producers of Kafka
// call that wait linger (linger.ms).
//
// The rule: nothing waits while fewer than one other item arrives, on average, in the
// longest wait. Else an item leaves with the next departure. Departures are at
// multiples of the longest wait on the system's clock, so those of all lanes and
// processes coincide, and so does what they cause at the next hop. An item that has
// waited for something else until its departure, such as for the batch before it,
// waits no longer: a hop that is busy is not slowed down.
package linger

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/precisetimer"
)

// Max is the longest wait that an operator may choose: more would be felt.
const Max = 100 * time.Millisecond

// rateWindow is how long arrivals are counted before the rule is applied anew: short,
// to follow a burst, and long enough for some tens of items where a wait pays.
const rateWindow = 50 * time.Millisecond

// Linger decides how long the items of a hop wait. Create it with [New]. Nothing waits
// with a nil Linger. It is safe for concurrent use.
type Linger struct {
	longest time.Duration

	mu      sync.Mutex
	since   time.Time // begin of the window
	arrived int       // items in it
	pays    bool      // whether a wait pays, by the last window
}

// New returns a linger with a longest wait, up to [Max]; it returns nil for 0.
func New(longest time.Duration) *Linger {
	if longest == 0 {
		return nil
	}
	return &Linger{longest: longest}
}

// Count counts items that arrive at the hop now.
func (l *Linger) Count(items int, now time.Time) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived += items
	if window := now.Sub(l.since); window >= rateWindow {
		l.pays = float64(l.arrived)*float64(l.longest) >= float64(window)
		l.since, l.arrived = now, 0
	}
}

// Remaining returns how long an item that arrived at a time waits from now on: until
// its departure, and never longer than the longest wait, wherever the clock is set.
func (l *Linger) Remaining(arrived, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	pays := l.pays
	l.mu.Unlock()
	if !pays {
		return 0
	}
	departure := arrived.Truncate(l.longest).Add(l.longest)
	return min(max(departure.Sub(now), 0), l.longest)
}

// Wait waits until the departure of an item that arrived at a time.
func (l *Linger) Wait(arrived time.Time) {
	precisetimer.Sleep(l.Remaining(arrived, time.Now()))
}

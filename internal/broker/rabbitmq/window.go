package rabbitmq

import (
	"context"
	"slices"
	"sync"
	"time"
)

// window is an adaptive concurrency limit: it bounds how many calls are in flight
// at once, and adjusts the bound itself. While calls take as long as on an idle
// system, more are allowed. When they take much longer, they queue for each other
// somewhere, and more of them would only add cost. What has to wait here becomes
// part of a larger batch instead, which costs less for each message.
//
// The fastest recent call stands for one on an idle system, as in TCP Vegas
// (Brakmo and Peterson, 1995), and the limit follows the gradient fastest/took
// as in Netflix' concurrency-limits (Gradient2Limit).
//
// A call that hangs is not counted for longer than maxCounted: it says nothing
// about the others, and with a small limit few of them would stop all. Whoever
// makes the calls bounds how many hang. A window is safe for concurrent use.
type window struct {
	max, headroom float64 // calls

	mu       sync.Mutex
	limit    float64
	inFlight int             // without those that hang
	waiters  []chan struct{} // in order of arrival; closed when they may go

	previousFastest, currentFastest time.Duration // of the previous period, and of the current one so far
	periodEnd                       time.Time     // end of the current period
}

const (
	// tolerance is how many times as long as the fastest call a call may take
	// before it counts as having waited: the times of disk writes vary anyway.
	tolerance = 2
	// smoothing is the weight of one call.
	smoothing = 0.1
	// fastestPeriod is how long the fastest call is remembered at least. It is
	// forgotten then, since the servers may be slower permanently.
	fastestPeriod = 30 * time.Second
	// maxCounted is how long a call counts as in flight: longer than one takes
	// when the servers are merely busy.
	maxCounted = time.Second
)

// slot is the permission for one call. nil is that of a call beside the window.
type slot struct {
	w       *window
	expiry  *time.Timer // ends the counting
	counted bool        // guarded by w.mu
}

// newWindow returns a window that allows up to limit calls in flight, and about
// headroom of them however long they take.
func newWindow(limit int, headroom float64) *window {
	return &window{max: float64(limit), headroom: headroom, limit: float64(limit)}
}

// acquire waits until a call may start. It fails only when ctx has ended, and then
// always, so that nothing is started during a stop.
func (w *window) acquire(ctx context.Context) (*slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	if len(w.waiters) == 0 && w.inFlight < int(w.limit) {
		w.inFlight++
		w.mu.Unlock()
		return w.newSlot(), nil
	}
	admitted := make(chan struct{})
	w.waiters = append(w.waiters, admitted)
	w.mu.Unlock()
	select {
	case <-admitted:
	case <-ctx.Done():
		if w.cancelWait(admitted) {
			return nil, ctx.Err()
		}
		// It was admitted at the same moment.
	}
	s := w.newSlot()
	if err := ctx.Err(); err != nil {
		s.release(0)
		return nil, err
	}
	return s, nil
}

func (w *window) newSlot() *slot {
	s := &slot{w: w, counted: true}
	s.expiry = time.AfterFunc(maxCounted, s.expire)
	return s
}

// cancelWait removes a waiter. It reports false when the waiter was admitted
// already.
func (w *window) cancelWait(admitted chan struct{}) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := slices.Index(w.waiters, admitted)
	if at < 0 {
		return false
	}
	w.waiters = slices.Delete(w.waiters, at, at+1)
	return true
}

// expire ends the counting of a call that hangs.
func (s *slot) expire() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.uncount()
}

// release ends a call. took is how long the call took, or 0 when that is not to be
// counted, because it failed.
func (s *slot) release(took time.Duration) {
	if s == nil {
		return
	}
	s.expiry.Stop()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if took > 0 {
		s.w.update(took, time.Now())
	}
	s.uncount()
}

// uncount admits waiting calls in place of this one, unless that was done before.
// mu is held.
func (s *slot) uncount() {
	w := s.w
	if s.counted {
		s.counted = false
		w.inFlight--
	}
	for len(w.waiters) > 0 && w.inFlight < int(w.limit) {
		close(w.waiters[0])
		w.waiters = w.waiters[1:]
		w.inFlight++
	}
}

// update adjusts the limit to the duration of a call. mu is held.
func (w *window) update(took time.Duration, now time.Time) {
	if now.After(w.periodEnd) {
		w.previousFastest, w.currentFastest, w.periodEnd = w.currentFastest, took, now.Add(fastestPeriod)
	}
	w.currentFastest = min(w.currentFastest, took)
	fastest := w.currentFastest
	if w.previousFastest > 0 {
		fastest = min(fastest, w.previousFastest)
	}
	gradient := min(1, tolerance*float64(fastest)/float64(took))
	w.limit += smoothing * (w.limit*gradient + w.headroom - w.limit)
	w.limit = max(1, min(w.limit, w.max))
}

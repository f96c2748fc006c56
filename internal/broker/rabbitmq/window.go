package rabbitmq

import (
	"context"
	"slices"
	"sync"
	"time"
)

// window bounds how many calls are under way at once, and finds the bound by
// itself: when calls take as long as they do on an idle system, more may go;
// when they take much longer, they are waiting for each other somewhere, and
// more of them would only cost more. What has to wait here becomes part of a
// larger batch instead, which costs less for each message.
//
// The fastest call of late is taken for one on an idle system, as in TCP Vegas
// (Brakmo and Peterson, 1995), and the bound follows the gradient fastest/took
// as in Netflix' concurrency-limits (its Gradient2Limit).
type window struct {
	most, room float64

	mu      sync.Mutex
	limit   float64
	inside  int
	waiting []chan struct{} // in the order of coming

	fastest, next time.Duration // in the last period, and in this one so far
	until         time.Time     // when this period ends
}

const (
	// tolerance is how much longer than the fastest a call may take before
	// it counts as having waited: servers that write to disks vary by nature.
	tolerance = 2
	// smoothing is how much one call counts.
	smoothing = 0.1
	// fastestPeriod is how long the fastest call is remembered at least: the
	// servers may have become slower for good.
	fastestPeriod = 30 * time.Second
)

// newWindow lets up to most calls be under way, and room of them about however
// long they take.
func newWindow(most int, room float64) *window {
	return &window{most: float64(most), room: room, limit: float64(most)}
}

// enter waits for a place. It fails only when ctx ends, and always when it has
// ended, whether or not a place is free: who was told to stop begins nothing.
func (w *window) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	if len(w.waiting) == 0 && w.inside < int(w.limit) {
		w.inside++
		w.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	w.waiting = append(w.waiting, turn)
	w.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
		if w.leaveLine(turn) {
			return ctx.Err()
		}
		// The turn came at the same moment.
	}
	if err := ctx.Err(); err != nil {
		w.leave(0)
		return err
	}
	return nil
}

// leaveLine gives up a turn; false when it has come already.
func (w *window) leaveLine(turn chan struct{}) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := slices.Index(w.waiting, turn)
	if at < 0 {
		return false
	}
	w.waiting = slices.Delete(w.waiting, at, at+1)
	return true
}

// leave gives the place back. took is how long the call was under way; 0 when
// that says nothing, because it failed.
func (w *window) leave(took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inside--
	if took > 0 {
		w.learn(took, time.Now())
	}
	for len(w.waiting) > 0 && w.inside < int(w.limit) {
		close(w.waiting[0])
		w.waiting = w.waiting[1:]
		w.inside++
	}
}

func (w *window) learn(took time.Duration, now time.Time) {
	if now.After(w.until) {
		w.fastest, w.next, w.until = w.next, took, now.Add(fastestPeriod)
	}
	w.next = min(w.next, took)
	fastest := w.next
	if w.fastest > 0 {
		fastest = min(fastest, w.fastest)
	}
	gradient := min(1, tolerance*float64(fastest)/float64(took))
	w.limit += smoothing * (w.limit*gradient + w.room - w.limit)
	w.limit = max(1, min(w.limit, w.most))
}

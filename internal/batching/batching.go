// Package batching is natural batching: what gathers while the previous batch is
// in work goes on together as the next one. There are no timers: who is idle
// gets an item at once, and who is busy gets larger batches.
//
// A [Queue] keeps everything, and it is the caller's affair to bound it. A
// [Lossy] queue is bounded and tells of what it lost. A loop that gathers in
// another way (by key, by time, over several lists) has its own memory and
// wakes up by a [Signal].
package batching

import (
	"context"
	"sync"
)

// Signal wakes one goroutine up. Notifications that nobody has received yet
// are one, so the receiver must look at all there is to do. Make one with
// [NewSignal]; receive from it as from any channel.
type Signal chan struct{}

// NewSignal makes a signal.
func NewSignal() Signal { return make(Signal, 1) }

// Notify has the next receive return at once. It never blocks.
func (s Signal) Notify() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Wait waits for a notification. It reports false when ctx has ended.
func (s Signal) Wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-s:
		return true
	}
}

// Queue is what waits for the next batch, in the order of coming. It has no
// bound. Any number of goroutines may add; one takes.
type Queue[T any] struct {
	ready Signal

	mu    sync.Mutex
	items []T
}

// NewQueue makes a queue.
func NewQueue[T any]() *Queue[T] { return &Queue[T]{ready: NewSignal()} }

// Add puts an item at the end.
func (q *Queue[T]) Add(item T) {
	q.mu.Lock()
	q.items = append(q.items, item)
	q.mu.Unlock()
	q.ready.Notify()
}

// PutBack puts items that were taken at the front, in their order. The slice is
// the queue's from then on.
func (q *Queue[T]) PutBack(items []T) {
	if len(items) == 0 {
		return
	}
	q.mu.Lock()
	q.items = append(items, q.items...)
	q.mu.Unlock()
	q.ready.Notify()
}

// Ready is notified when something came. It may be notified of what was taken
// already, and is not notified again of what a Take has left: take until there
// is nothing, or [Queue.Len] is 0, before waiting.
func (q *Queue[T]) Ready() Signal { return q.ready }

// Len returns how many items wait.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// Take removes the oldest items, limit of them at most, or all with a limit of
// 0. It does not wait.
func (q *Queue[T]) Take(limit int) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.items)
	if limit > 0 {
		n = min(n, limit)
	}
	return q.take(n)
}

// TakeWhile removes the oldest items for as long as more wants the next one.
func (q *Queue[T]) TakeWhile(more func(*T) bool) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.items) && more(&q.items[n]) {
		n++
	}
	return q.take(n)
}

// take removes n items. q.mu is held.
func (q *Queue[T]) take(n int) []T {
	taken := q.items[:n:n]
	if n == len(q.items) {
		taken, q.items = q.items, nil
	} else {
		q.items = q.items[n:]
	}
	return taken
}

// Swap removes all items, and gathers the next ones in the memory of spare: a
// slice that it returned before, in which nothing is needed any more.
func (q *Queue[T]) Swap(spare []T) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.items
	q.items = spare[:0]
	return taken
}

// Run hands what gathers to handle until ctx ends, limit items at most in one
// call, or all that there are with a limit of 0. There is one call at a time.
// What waits when ctx ends stays in the queue.
func (q *Queue[T]) Run(ctx context.Context, limit int, handle func(ctx context.Context, items []T)) {
	for q.ready.Wait(ctx) {
		for ctx.Err() == nil {
			items := q.Take(limit)
			if len(items) == 0 {
				break
			}
			handle(ctx, items)
		}
	}
}

// Lossy is a bounded queue whose adders never wait: what does not fit is lost.
// After a loss it takes nothing until the loss was told, so that it is told of
// before anything that came later. Any number of goroutines may add; one takes.
type Lossy[T any] struct {
	ready Signal
	limit int

	mu    sync.Mutex
	items []T
	size  int
	lost  bool // something behind items
}

// NewLossy makes a queue for items of that size together.
func NewLossy[T any](limit int) *Lossy[T] { return &Lossy[T]{ready: NewSignal(), limit: limit} }

// Add puts an item of a size at the end, or loses it. One always fits into an
// empty queue.
func (q *Lossy[T]) Add(item T, size int) {
	q.mu.Lock()
	if q.lost || q.size > 0 && q.size+size > q.limit {
		q.lost = true
	} else {
		q.items = append(q.items, item)
		q.size += size
	}
	q.mu.Unlock()
	q.ready.Notify()
}

// Lose tells of a loss that happened before an item came here.
func (q *Lossy[T]) Lose() {
	q.mu.Lock()
	q.lost = true
	q.mu.Unlock()
	q.ready.Notify()
}

// Ready is notified when something came or was lost.
func (q *Lossy[T]) Ready() Signal { return q.ready }

// Take removes all items, and reports whether something behind them was lost.
// It does not wait.
func (q *Lossy[T]) Take() (items []T, lost bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, lost = q.items, q.lost
	q.items, q.size, q.lost = nil, 0, false
	return items, lost
}

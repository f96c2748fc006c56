// Package batching is natural batching: the items that are added while a batch is
// being handled are the next batch. There are no timers: an idle handler gets an
// item at once, and a busy one gets larger batches.
//
// A [Queue] is unbounded; its user must bound it. A [Lossy] queue is bounded and
// reports losses. A loop that collects items in another way (by key, by time, from
// several lists) stores them itself and is woken up by a [Signal].
package batching

import (
	"context"
	"sync"
)

// Signal wakes up one goroutine. Notifications that were not received yet are
// merged into one, so the receiver must check for all work. Create it with
// [NewSignal]; receive from it as from any channel.
type Signal chan struct{}

// NewSignal returns a signal.
func NewSignal() Signal { return make(Signal, 1) }

// Notify makes the next receive return at once. It never blocks.
func (s Signal) Notify() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Wait blocks until a notification. It reports false when ctx has ended.
func (s Signal) Wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-s:
		return true
	}
}

// Queue is an unbounded FIFO queue of the items of the next batch. Any number of
// goroutines may add; only one may take.
type Queue[T any] struct {
	ready Signal

	mu    sync.Mutex
	items []T
}

// NewQueue returns an empty queue.
func NewQueue[T any]() *Queue[T] { return &Queue[T]{ready: NewSignal()} }

// Add adds items at the end, in their order. It does not block.
func (q *Queue[T]) Add(items ...T) {
	if len(items) == 0 {
		return
	}
	q.mu.Lock()
	q.items = append(q.items, items...)
	q.mu.Unlock()
	q.ready.Notify()
}

// PutBack returns taken items to the front, in their order. The queue owns the
// slice from then on.
func (q *Queue[T]) PutBack(items []T) {
	if len(items) == 0 {
		return
	}
	q.mu.Lock()
	q.items = append(items, q.items...)
	q.mu.Unlock()
	q.ready.Notify()
}

// Ready returns the signal that is notified when items were added. They may have
// been taken already, and there is no new notification for items that a Take has
// left: take until there are none, or [Queue.Len] is 0, before waiting.
func (q *Queue[T]) Ready() Signal { return q.ready }

// Len returns the number of items in the queue.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// Take removes and returns the oldest items, at most limit of them, or all with a
// limit of 0. It does not block.
func (q *Queue[T]) Take(limit int) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.items)
	if limit > 0 {
		n = min(n, limit)
	}
	return q.take(n)
}

// TakeWhile removes and returns the oldest items, as long as more returns true for
// the next one.
func (q *Queue[T]) TakeWhile(more func(*T) bool) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.items) && more(&q.items[n]) {
		n++
	}
	return q.take(n)
}

// take removes n items. q.mu must be held.
func (q *Queue[T]) take(n int) []T {
	taken := q.items[:n:n]
	if n == len(q.items) {
		taken, q.items = q.items, nil
	} else {
		q.items = q.items[n:]
	}
	return taken
}

// Swap removes and returns all items, and reuses the memory of spare for the next
// ones: a slice that it returned before and that is no longer used.
func (q *Queue[T]) Swap(spare []T) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.items
	q.items = spare[:0]
	return taken
}

// Run calls handle with the items of the queue until ctx ends, with at most limit
// items per call, or with all items for a limit of 0. There is one call at a time.
// Items that are left when ctx ends stay in the queue.
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

// Lossy is a bounded queue whose Add never blocks: items that do not fit are
// dropped. After a loss it drops everything until Take has reported the loss, so
// that a loss is reported before any later item. Any number of goroutines may add;
// only one may take.
type Lossy[T any] struct {
	ready Signal
	limit int

	mu    sync.Mutex
	items []T
	size  int
	lost  bool // something was dropped after items
}

// NewLossy returns an empty queue. limit is the maximum size of all items together.
func NewLossy[T any](limit int) *Lossy[T] { return &Lossy[T]{ready: NewSignal(), limit: limit} }

// Add adds an item of a size at the end, or drops it. An empty queue accepts an
// item of any size.
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

// Lose records a loss that happened before items reached the queue.
func (q *Lossy[T]) Lose() {
	q.mu.Lock()
	q.lost = true
	q.mu.Unlock()
	q.ready.Notify()
}

// Ready returns the signal that is notified when something was added or lost.
func (q *Lossy[T]) Ready() Signal { return q.ready }

// Take removes and returns all items, and reports whether something after them was
// lost. It does not block.
func (q *Lossy[T]) Take() (items []T, lost bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, lost = q.items, q.lost
	q.items, q.size, q.lost = nil, 0, false
	return items, lost
}

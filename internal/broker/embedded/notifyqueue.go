package embedded

import (
	"container/list"
	"context"
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

// Bounds of the notification queue, in jobs: those that are pending, and those
// that consumers have and did not acknowledge.
const (
	defaultMaxJobs = 16_384
	maxUnackedJobs = 16_384
)

// NotifyQueue is the notification queue of a system in one process. Its jobs are
// lost when the process ends. See [NewNotifyQueue].
type NotifyQueue struct {
	maxJobs int
	ready   batching.Signal

	mu          sync.Mutex
	pending     *list.List // of *jobBatch
	pendingJobs int        // number of jobs in pending
	unackedJobs int
}

// jobBatch is the jobs of one Publish.
type jobBatch struct{ jobs []notifyqueue.Job }

var _ notifyqueue.Queue = (*NotifyQueue)(nil)

// NewNotifyQueue returns a queue with at most maxJobs pending jobs; 0 means 16,384.
func NewNotifyQueue(maxJobs int) *NotifyQueue {
	if maxJobs <= 0 {
		maxJobs = defaultMaxJobs
	}
	return &NotifyQueue{maxJobs: maxJobs, ready: batching.NewSignal(), pending: list.New()}
}

// Publish implements [notifyqueue.Publisher].
func (q *NotifyQueue) Publish(jobs []notifyqueue.Job) {
	if len(jobs) == 0 {
		return
	}
	q.mu.Lock()
	q.pending.PushBack(&jobBatch{jobs: jobs})
	q.pendingJobs += len(jobs)
	for q.pendingJobs > q.maxJobs && q.pending.Len() > 1 {
		q.pendingJobs -= len(q.pending.Remove(q.pending.Front()).(*jobBatch).jobs)
	}
	q.mu.Unlock()
	q.ready.Notify()
}

// take removes the oldest batch. It returns nil when there is none or too many jobs
// are unacknowledged. It wakes another consumer when there are more.
func (q *NotifyQueue) take() *jobBatch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending.Len() == 0 || q.unackedJobs >= maxUnackedJobs {
		return nil
	}
	first := q.pending.Remove(q.pending.Front()).(*jobBatch)
	q.pendingJobs -= len(first.jobs)
	q.unackedJobs += len(first.jobs)
	if q.pending.Len() > 0 {
		q.ready.Notify()
	}
	return first
}

// Consume implements [notifyqueue.Consumer].
func (q *NotifyQueue) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	c := &notifyConsumer{queue: q, unacked: list.New()}
	defer c.requeueUnacked()
	for {
		next := q.take()
		if next == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-q.ready:
			}
			continue
		}
		handle(ctx, notifyqueue.Delivery{Jobs: next.jobs, Ack: c.track(next)})
		if ctx.Err() != nil {
			return nil
		}
	}
}

// notifyConsumer tracks what a consumer did not acknowledge.
type notifyConsumer struct {
	queue   *NotifyQueue
	unacked *list.List // of *jobBatch, oldest first; guarded by the queue's mu
}

// track adds a batch and returns the function that acknowledges it.
func (c *notifyConsumer) track(batch *jobBatch) (ack func()) {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	element := c.unacked.PushBack(batch)
	return func() {
		c.queue.mu.Lock()
		defer c.queue.mu.Unlock()
		if c.unacked == nil {
			return // it was requeued
		}
		c.unacked.Remove(element)
		c.queue.unackedJobs -= len(batch.jobs)
		c.queue.ready.Notify()
	}
}

// requeueUnacked ends the consumer and puts its unacknowledged batches back to the
// front.
func (c *notifyConsumer) requeueUnacked() {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	for e := c.unacked.Front(); e != nil; e = e.Next() {
		n := len(e.Value.(*jobBatch).jobs)
		c.queue.unackedJobs -= n
		c.queue.pendingJobs += n
	}
	c.queue.pending.PushFrontList(c.unacked)
	c.unacked = nil
	c.queue.ready.Notify()
}

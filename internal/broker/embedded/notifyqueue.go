package embedded

import (
	"cmp"
	"container/list"
	"context"
	"math"
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// NotifyQueueConfig has the bounds of a notification queue.
type NotifyQueueConfig struct {
	MaxJobs int // pending jobs, from 1; default 16,384
}

// WithDefaults returns c with the default for each zero.
func (c NotifyQueueConfig) WithDefaults() NotifyQueueConfig {
	c.MaxJobs = cmp.Or(c.MaxJobs, 16_384)
	return c
}

// Validate returns the first error of a field; a zero is one.
func (c NotifyQueueConfig) Validate() error {
	return setting.Between("max-jobs", c.MaxJobs, 1, math.MaxInt32, "notifications that may wait, such as 16384")
}

// maxUnackedJobs is how many jobs consumers may have that they did not
// acknowledge.
const maxUnackedJobs = 16_384

// NotifyQueue is the notification queue of a system in one process. Its jobs are
// lost when the process ends. See [NewNotifyQueue].
type NotifyQueue struct {
	cfg   NotifyQueueConfig
	ready batching.Signal

	mu          sync.Mutex
	pending     *list.List // of *jobBatch
	pendingJobs int        // number of jobs in pending
	unackedJobs int
}

// jobBatch is the jobs of one Publish.
type jobBatch struct{ jobs []notifyqueue.Job }

var _ notifyqueue.Queue = (*NotifyQueue)(nil)

// NewNotifyQueue returns an empty queue.
func NewNotifyQueue(cfg NotifyQueueConfig) (*NotifyQueue, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &NotifyQueue{cfg: cfg, ready: batching.NewSignal(), pending: list.New()}, nil
}

// Publish implements [notifyqueue.Publisher].
func (q *NotifyQueue) Publish(jobs []notifyqueue.Job) {
	if len(jobs) == 0 {
		return
	}
	q.mu.Lock()
	q.pending.PushBack(&jobBatch{jobs: jobs})
	q.pendingJobs += len(jobs)
	for q.pendingJobs > q.cfg.MaxJobs && q.pending.Len() > 1 {
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

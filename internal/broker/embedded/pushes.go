package embedded

import (
	"container/list"
	"context"
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

// Bounds of the queue of pushes, in jobs: what waits, and what consumers have
// and are not done with.
const (
	defaultPushes = 16_384
	pushesInWork  = 16_384
)

// Pushes is the queue of notifications of a system in one process. It knows
// nothing once the process is gone. See [NewPushes].
type Pushes struct {
	max  int
	wake batching.Signal

	mu      sync.Mutex
	waiting *list.List // of *parcel
	jobs    int        // that wait
	inWork  int
}

// parcel is what was published together.
type parcel struct{ jobs []notifyqueue.Job }

var _ notifyqueue.Queue = (*Pushes)(nil)

// NewPushes makes a queue in which so many jobs may wait; 0 means 16,384.
func NewPushes(jobs int) *Pushes {
	if jobs <= 0 {
		jobs = defaultPushes
	}
	return &Pushes{max: jobs, wake: batching.NewSignal(), waiting: list.New()}
}

// Publish implements [notifyqueue.Publisher].
func (p *Pushes) Publish(jobs []notifyqueue.Job) {
	if len(jobs) == 0 {
		return
	}
	p.mu.Lock()
	p.waiting.PushBack(&parcel{jobs: jobs})
	p.jobs += len(jobs)
	for p.jobs > p.max && p.waiting.Len() > 1 {
		p.jobs -= len(p.waiting.Remove(p.waiting.Front()).(*parcel).jobs)
	}
	p.mu.Unlock()
	p.wake.Notify()
}

// take removes the oldest, unless too much is in work. Another consumer is told
// when there is more.
func (p *Pushes) take() *parcel {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.Len() == 0 || p.inWork >= pushesInWork {
		return nil
	}
	first := p.waiting.Remove(p.waiting.Front()).(*parcel)
	p.jobs -= len(first.jobs)
	p.inWork += len(first.jobs)
	if p.waiting.Len() > 0 {
		p.wake.Notify()
	}
	return first
}

// Consume implements [notifyqueue.Consumer].
func (p *Pushes) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	c := &pushConsumer{queue: p, open: list.New()}
	defer c.end()
	for {
		next := p.take()
		if next == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-p.wake:
			}
			continue
		}
		handle(ctx, notifyqueue.Delivery{Jobs: next.jobs, Done: c.add(next)})
		if ctx.Err() != nil {
			return nil
		}
	}
}

// pushConsumer knows what a consumer is not done with.
type pushConsumer struct {
	queue *Pushes
	open  *list.List // of *parcel, the oldest first; under the queue's lock
}

// add notes a parcel and gives what is called when it is done.
func (c *pushConsumer) add(of *parcel) (done func()) {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	place := c.open.PushBack(of)
	return func() {
		c.queue.mu.Lock()
		defer c.queue.mu.Unlock()
		if c.open == nil {
			return // it came again
		}
		c.open.Remove(place)
		c.queue.inWork -= len(of.jobs)
		c.queue.wake.Notify()
	}
}

// end puts back what is not done.
func (c *pushConsumer) end() {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	for e := c.open.Front(); e != nil; e = e.Next() {
		n := len(e.Value.(*parcel).jobs)
		c.queue.inWork -= n
		c.queue.jobs += n
	}
	c.queue.waiting.PushFrontList(c.open)
	c.open = nil
	c.queue.wake.Notify()
}

package rabbitmq

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// entry is a submission that waits to be published, or is being published.
type entry struct {
	submission chat.Submission
	confirm    func(error)
}

// partition gathers the next batch while the previous one is being published.
// There is one batch at a time, so that order holds whatever is lost.
type partition struct {
	number  int
	queue   *batching.Queue[entry]
	lanes   []*lane     // one for each uplink; used by publishLoop only
	failing atomic.Bool // a batch has failed, and what waited behind it is being refused
	suspect bool        // its last batch has failed; used by publishLoop only
}

// Publish implements [broker.Publisher].
func (b *Broker) Publish(s chat.Submission, confirm func(error)) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.closed:
		return errClosed
	case !b.connected():
		return errUnavailable
	case b.blocked.Load() > 0:
		return errBrokerFull
	}
	p := b.partitions[broker.Partition(s.Conversation, len(b.partitions))]
	if p.failing.Load() {
		return errUnavailable
	}
	size := int64(len(s.Body))
	queued, bytes := b.queued.Add(1), b.bytes.Add(size)
	if queued > int64(b.cfg.MaxQueued) || bytes > int64(b.cfg.MaxBytes) {
		b.release(1, size)
		return errOverloaded
	}
	p.queue.Add(entry{submission: s, confirm: confirm})
	return nil
}

// Refusing implements [broker.Publisher].
func (b *Broker) Refusing() error {
	switch {
	case b.blocked.Load() > 0:
		return errBrokerFull
	case b.queued.Load() >= int64(b.cfg.MaxQueued):
		return errOverloaded
	}
	return nil
}

// Published returns how many AMQP messages the broker has confirmed to this
// process, and how many submissions were in them.
func (b *Broker) Published() (batches, submissions uint64) { return b.published.Totals() }

// take removes up to n waiting entries, oldest first, with bodies of about the
// given number of bytes.
func (p *partition) take(n, bytes int) []entry {
	return p.queue.TakeWhile(func(e *entry) bool {
		if n <= 0 || bytes <= 0 {
			return false
		}
		n--
		bytes -= len(e.submission.Body)
		return true
	})
}

func (b *Broker) release(n int, size int64) {
	b.bytes.Add(-size)
	if b.queued.Add(-int64(n)) == 0 {
		b.idle.Notify()
	}
}

// confirmAll calls the confirm functions of entries, which must not be empty.
func (b *Broker) confirmAll(entries []entry, err error) {
	size := int64(0)
	for _, e := range entries {
		size += int64(len(e.submission.Body))
		e.confirm(err)
	}
	b.release(len(entries), size)
}

// failAll is confirmAll for what may be no entries at all.
func (b *Broker) failAll(entries []entry, err error) {
	if len(entries) > 0 {
		b.confirmAll(entries, err)
	}
}

// publishLoop publishes a partition's batches, one after the other, until ctx
// ends.
func (b *Broker) publishLoop(ctx context.Context, p *partition) {
	var buffer []byte
	for p.queue.Len() > 0 || p.queue.Ready().Wait(ctx) {
		slot, err := b.admit(ctx, p)
		if err != nil {
			return
		}
		// After the wait, so that what came meanwhile is in the batch as well.
		entries := p.take(b.cfg.MaxBatch, maxBatchBytes)
		if len(entries) == 0 {
			slot.release(0)
			continue
		}
		buffer = beginBatch(buffer[:0])
		for i := range entries {
			buffer = appendSubmission(buffer, &entries[i].submission)
		}
		began := time.Now()
		err = b.publishBatch(ctx, p, buffer)
		took := time.Since(began)
		if err != nil {
			took = 0
		}
		slot.release(took)
		p.suspect = err != nil
		if err == nil {
			b.published.Count(len(entries))
			b.confirmAll(entries, nil)
			continue
		}
		// What waits must not overtake the batch that failed: the senders of both
		// repeat their submissions, in order. Until all of them know, nothing that
		// is repeated early, or new, gets in between.
		p.failing.Store(true)
		b.confirmAll(entries, err)
		b.failAll(p.queue.Take(0), errUnavailable)
		p.failing.Store(false)
	}
}

// admit waits until a partition may publish a batch. One whose last batch has
// failed does not wait, and is not counted: it may have no leader, and hang again.
func (b *Broker) admit(ctx context.Context, p *partition) (*slot, error) {
	if p.suspect {
		return nil, ctx.Err()
	}
	return b.publishWindow.acquire(ctx)
}

// publishBatch publishes one AMQP message and waits until it is confirmed. When
// an uplink is lost before, or confirms nothing for [patience], it publishes the
// message on the other one as well: whoever stores it recognizes a repetition, and
// nothing of the partition is published in between.
func (b *Broker) publishBatch(ctx context.Context, p *partition, batch []byte) error {
	wait := newConfirmWait()
	defer wait.timer.Stop()
	slices.SortStableFunc(p.lanes, func(l, m *lane) int { return l.rank() - m.rank() })
	var failure error
	for _, l := range p.lanes {
		lost, err := l.publish(ctx, b, p, batch, wait)
		if err == nil {
			return nil
		}
		if !errors.Is(failure, errOutcomeUnknown) { // what one of them may have is not refused
			failure = err
		}
		if !lost {
			break
		}
	}
	return failure
}

// confirmWait is how long a batch waits for a confirmation: for [confirmTimeout] in
// all, in spans of [patience] at most.
type confirmWait struct {
	deadline time.Time
	timer    *time.Timer // fires at the end of a span
}

func newConfirmWait() *confirmWait {
	return &confirmWait{deadline: time.Now().Add(confirmTimeout), timer: time.NewTimer(patience)}
}

// begin begins a span.
func (w *confirmWait) begin() { w.timer.Reset(min(patience, time.Until(w.deadline))) }

// over reports whether the last span has ended.
func (w *confirmWait) over() bool { return !time.Now().Before(w.deadline) }

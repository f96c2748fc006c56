// Package embedded is the broker of a system in one process. A publish is
// confirmed when the handler has stored it: the store's commit makes it durable,
// so nothing else needs to be written.
//
// Submissions are spread over partitions by conversation. Each partition gives
// its handler everything that came while the previous batch was being handled;
// there are no timers. What would wait for long is refused: see admission.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/retryqueue"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Config has the bounds of the broker.
type Config struct {
	Partitions int           // handled concurrently, 1 to 256; default 2
	MaxQueued  int           // submissions that wait or are being handled, from 1; default 20,000
	MaxBytes   int           // bytes of their texts, from 1; default 64 MiB
	MaxBatch   int           // submissions in one call of the handler, from 1; default 1,000
	MaxWait    time.Duration // how long submissions wait to be stored, about; above 0; default 200 ms
	Logger     *slog.Logger  // default none
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.Partitions = cmp.Or(c.Partitions, 2)
	c.MaxQueued = cmp.Or(c.MaxQueued, 20_000)
	c.MaxBytes = cmp.Or(c.MaxBytes, 64<<20)
	c.MaxBatch = cmp.Or(c.MaxBatch, 1_000)
	c.MaxWait = cmp.Or(c.MaxWait, 200*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns the first error of a field; a zero is one.
func (c Config) Validate() error {
	return cmp.Or(
		setting.Between("partitions", c.Partitions, 1, 256, "a number of handlers, such as 2"),
		setting.Between("max-queued", c.MaxQueued, 1, math.MaxInt32, "submissions that may wait, such as 20000"),
		setting.Between("max-bytes", c.MaxBytes, 1, math.MaxInt32, "bytes of texts that may wait, such as 67108864"),
		setting.Between("max-batch", c.MaxBatch, 1, math.MaxInt32, "submissions for a handler at once, such as 1000"),
		setting.Between("max-wait", c.MaxWait, 1, math.MaxInt64, "how long submissions may wait to be stored, such as 200ms"),
	)
}

var (
	errOverloaded = chat.Refuse(chat.CodeOverloaded, "", "too many messages are waiting to be stored")
	errClosed     = chat.Refuse(chat.CodeUnavailable, "", "the server is stopping")
	// errOutcomeUnknown is for submissions that were not handled before the stop.
	errOutcomeUnknown = errors.New("the server stopped before the message was stored")
)

// Broker is the embedded broker. It is safe for concurrent use. The zero value is
// not usable; see [New].
type Broker struct {
	cfg        Config
	partitions []*batching.Queue[entry]
	admission  *admission
	start      time.Time

	queued    atomic.Int64
	bytes     atomic.Int64
	consumers atomic.Int32

	mu     sync.RWMutex // held for reading by Publish, so that Close sees all of them
	closed bool
	idle   batching.Signal // notified when the last queued submission is done
}

// entry is a submission that waits or is being handled.
type entry struct {
	submission  chat.Submission
	confirm     func(error)
	redelivered bool
	arrived     time.Duration // since the broker's start
	ahead       int64         // how many waited then
}

// New returns a broker. Submissions wait until [Broker.Consume] is called.
func New(cfg Config) (*Broker, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open the embedded broker: %w", err)
	}
	b := &Broker{
		cfg: cfg, idle: batching.NewSignal(), start: time.Now(),
		admission: newAdmission(cfg.MaxWait, int64(min(cfg.MaxBatch, cfg.MaxQueued)), int64(cfg.MaxQueued)),
	}
	b.partitions = make([]*batching.Queue[entry], b.cfg.Partitions)
	for i := range b.partitions {
		b.partitions[i] = batching.NewQueue[entry]()
	}
	return b, nil
}

var _ broker.Broker = (*Broker)(nil)

// Publish implements [broker.Publisher].
func (b *Broker) Publish(s chat.Submission, confirm func(error)) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return errClosed
	}
	ahead, ok := b.admission.enter()
	if !ok {
		return errOverloaded
	}
	size := int64(len(s.Body))
	queued, bytes := b.queued.Add(1), b.bytes.Add(size)
	if queued > int64(b.cfg.MaxQueued) || bytes > int64(b.cfg.MaxBytes) {
		b.admission.leave(1)
		b.release(1, size)
		return errOverloaded
	}
	b.partitions[broker.Partition(s.Conversation, len(b.partitions))].Add(entry{
		submission: s, confirm: confirm, arrived: time.Since(b.start), ahead: ahead,
	})
	return nil
}

// Refusing implements [broker.Publisher].
func (b *Broker) Refusing() error {
	if b.admission.refusing() || b.queued.Load() >= int64(b.cfg.MaxQueued) || b.bytes.Load() >= int64(b.cfg.MaxBytes) {
		return errOverloaded
	}
	return nil
}

// Consume implements [broker.Consumer]. There is one consumer at a time.
func (b *Broker) Consume(ctx context.Context, handle broker.Handler) error {
	if b.consumers.Add(1) > 1 {
		b.consumers.Add(-1)
		return errors.New("the embedded broker has a consumer already")
	}
	defer b.consumers.Add(-1)
	var group errgroup.Group
	for _, p := range b.partitions {
		group.Go(func() error {
			b.consumePartition(ctx, p, handle)
			return nil
		})
	}
	return group.Wait()
}

// consumePartition handles what is published to a partition, and beside it tries
// again what could not be stored, until ctx ends.
func (b *Broker) consumePartition(ctx context.Context, partition *batching.Queue[entry], handle broker.Handler) {
	retries := retryqueue.New(retryqueue.Config[entry]{
		Conversation: func(e entry) chat.ConversationID { return e.submission.Conversation },
		MaxBatch:     b.cfg.MaxBatch, Logger: b.cfg.Logger,
	})
	var retrying sync.WaitGroup
	retrying.Go(func() {
		retries.Run(ctx, func(ctx context.Context, entries []entry) ([]entry, error) {
			return b.handleBatch(ctx, entries, handle)
		})
	})
	defer func() {
		retrying.Wait()
		left := retries.Drain()
		b.admission.reenter(len(left))
		partition.PutBack(left) // for the next consumer
	}()
	for ctx.Err() == nil {
		entries := partition.Take(b.cfg.MaxBatch)
		if len(entries) == 0 {
			if !partition.Ready().Wait(ctx) {
				return
			}
			continue
		}
		taken := len(entries)
		if entries = retries.Admit(entries); len(entries) > 0 {
			newest := entries[len(entries)-1]
			failed, err := b.handleBatch(ctx, entries, handle)
			retries.Add(failed, err)
			if err == nil && !newest.redelivered {
				b.admission.learn(newest.ahead, time.Since(b.start)-newest.arrived)
			}
		}
		b.admission.leave(taken)
	}
}

// handleBatch has entries stored, and confirms them. It returns those that are to
// be tried again.
func (b *Broker) handleBatch(ctx context.Context, entries []entry, handle broker.Handler) (failed []entry, err error) {
	batch := make([]broker.Delivery, len(entries))
	for i, e := range entries {
		batch[i] = broker.Delivery{Submission: e.submission, Redelivered: e.redelivered}
	}
	verdicts, err := handle(ctx, batch)
	if err == nil && len(verdicts) != len(entries) {
		err = fmt.Errorf("the handler gave %d verdicts for %d deliveries", len(verdicts), len(entries))
	}
	if err != nil {
		for i := range entries {
			entries[i].redelivered = true
		}
		return entries, err
	}
	done := entries[:0]
	for i, e := range entries {
		switch {
		case chat.Undecided(verdicts[i]):
			failed = append(failed, e)
			continue
		case verdicts[i] != nil:
			e.confirm(verdicts[i])
		default:
			e.confirm(nil)
		}
		done = append(done, e)
	}
	if len(done) > 0 {
		b.finish(done)
	}
	return failed, nil
}

func (b *Broker) finish(entries []entry) {
	size := int64(0)
	for _, e := range entries {
		size += int64(len(e.submission.Body))
	}
	b.release(len(entries), size)
}

func (b *Broker) release(n int, size int64) {
	b.bytes.Add(-size)
	if b.queued.Add(-int64(n)) == 0 {
		b.idle.Notify()
	}
}

// Queued returns how many submissions wait or are being handled.
func (b *Broker) Queued() int { return int(b.queued.Load()) }

// Ready implements [broker.Broker].
func (b *Broker) Ready(context.Context) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.closed:
		return errClosed
	case b.consumers.Load() == 0:
		return errors.New("no worker consumes from the embedded broker")
	}
	return nil
}

// Close implements [broker.Broker]. The consumer must still be running. Otherwise
// the submissions that wait are abandoned at once, and confirmed with an error
// that leaves their outcome open.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	for b.queued.Load() > 0 && b.consumers.Load() > 0 {
		select {
		case <-b.idle:
		case <-ctx.Done():
			return fmt.Errorf("%d messages were not stored in time: %w", b.queued.Load(), ctx.Err())
		}
	}
	for _, p := range b.partitions {
		if left := p.Take(0); len(left) > 0 {
			b.admission.leave(len(left))
			for _, e := range left {
				e.confirm(errOutcomeUnknown)
			}
			b.finish(left)
		}
	}
	return nil
}

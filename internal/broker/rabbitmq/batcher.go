package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

const (
	// maxAckDelay and maxUnacked bound for how long and for how many messages
	// the acknowledgement of what is done may be delayed. See [unacked].
	maxAckDelay = 50 * time.Millisecond
	maxUnacked  = prefetch / 4

	minRetryDelay = 50 * time.Millisecond
	maxRetryDelay = 2 * time.Second
)

// batcher gathers the deliveries of some partitions, passes them to the handler
// one batch at a time, and acknowledges them. It outlives connections, so that
// a batch of a lost connection is over before its messages are redelivered.
//
// Subscriptions call add while their channel lives, then drain, and forget when
// nothing more comes by the channel. All methods but run are safe for
// concurrent use.
type batcher struct {
	batcherConfig
	ready batching.Signal // something waits

	mu         sync.Mutex
	waiting    []item
	rejected   map[*amqp.Channel]bool // channels of which nothing more is handled
	inProgress map[*amqp.Channel]bool // channels that the current batch has items of
	batchDone  []chan struct{}        // closed when the current batch is over
	unacked    map[*amqp.Channel]*unacked
}

// batcherConfig is what a batcher works with. All fields are required.
type batcherConfig struct {
	Handle broker.Handler
	// PublishDeadLetters returns nil when the messages are durable.
	PublishDeadLetters func(ctx context.Context, messages []amqp.Publishing) error
	Window             *window // of batches in progress; shared
	MaxBatch           int     // submissions given to Handle at once
	Logger             *slog.Logger
}

func newBatcher(cfg batcherConfig) *batcher {
	return &batcher{
		batcherConfig: cfg, ready: batching.NewSignal(),
		rejected: map[*amqp.Channel]bool{}, unacked: map[*amqp.Channel]*unacked{},
	}
}

// item is one AMQP message in a batcher.
type item struct {
	ch          *amqp.Channel
	delivery    amqp.Delivery
	submissions []chat.Submission // decoded by take; nil when that is impossible
	retried     bool
}

// unacked is what was stored on a channel and is not acknowledged yet. An
// acknowledgement costs RabbitMQ nearly as much as a message, and one covers
// all earlier messages of its channel. When this worker dies first, the
// messages are redelivered and recognized as stored.
type unacked struct {
	tag   uint64 // of the last message
	count int
	since time.Time
}

func (u *unacked) due() bool { return u.count >= maxUnacked || time.Since(u.since) >= maxAckDelay }

// add queues a delivery. When its channel is rejected, the delivery returns to
// its queue as the channel closes.
func (b *batcher) add(ch *amqp.Channel, d amqp.Delivery) {
	b.mu.Lock()
	if !b.rejected[ch] {
		b.waiting = append(b.waiting, item{ch: ch, delivery: d})
	}
	b.mu.Unlock()
	b.ready.Notify()
}

// drain rejects a channel, waits until the current batch has no item of it any
// more, and acknowledges what is done.
func (b *batcher) drain(ch *amqp.Channel) {
	b.mu.Lock()
	b.reject(ch)
	var over chan struct{}
	if b.inProgress[ch] {
		over = make(chan struct{})
		b.batchDone = append(b.batchDone, over)
	}
	b.mu.Unlock()
	if over != nil {
		<-over
	}
	b.acknowledge(func(c *amqp.Channel, _ *unacked) bool { return c == ch })
}

// forget removes a channel by which nothing more comes.
func (b *batcher) forget(ch *amqp.Channel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rejected, ch)
}

// reject drops what waits and what still comes on a channel. mu is held.
func (b *batcher) reject(ch *amqp.Channel) {
	b.rejected[ch] = true
	b.waiting = slices.DeleteFunc(b.waiting, func(i item) bool { return i.ch == ch })
}

// run handles batches until ctx ends.
func (b *batcher) run(ctx context.Context) {
	for {
		if !b.hasWaiting() {
			var ackDue <-chan time.Time
			if b.acknowledgeDue() {
				ackDue = time.After(maxAckDelay)
			}
			select {
			case <-ctx.Done():
				return
			case <-b.ready:
			case <-ackDue:
			}
			continue
		}
		if b.Window.acquire(ctx) != nil {
			return
		}
		// After the wait, so that what came meanwhile is in the batch as well.
		items := b.take(b.MaxBatch)
		took := b.process(ctx, items)
		b.finishBatch()
		b.Window.release(took)
	}
}

func (b *batcher) hasWaiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) > 0
}

// take removes waiting messages, oldest first: one message, or more with at
// most n submissions in all. Messages whose channel is closed are left out:
// they are redelivered, behind the messages that precede them.
func (b *batcher) take(n int) []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(b.waiting, func(i item) bool { return i.ch.IsClosed() })
	count := 0
	for count < len(b.waiting) {
		i := &b.waiting[count]
		if i.submissions == nil {
			decoded, err := decodeBatch(i.delivery.Body)
			if err != nil {
				decoded = nil // the whole message becomes a dead letter
			}
			requeued, _ := i.delivery.Headers[headerRequeued].(bool)
			for j := range decoded {
				decoded[j].Requeued = requeued
			}
			i.submissions = decoded
		}
		if n -= len(i.submissions); n < 0 && count > 0 {
			break
		}
		count++
	}
	taken := slices.Clone(b.waiting[:count])
	b.waiting = b.waiting[count:]
	if len(b.waiting) == 0 {
		b.waiting = nil
	}
	b.inProgress = map[*amqp.Channel]bool{}
	for _, i := range taken {
		b.inProgress[i.ch] = true
	}
	return taken
}

// finishBatch ends the current batch.
func (b *batcher) finishBatch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inProgress = nil
	for _, c := range b.batchDone {
		close(c)
	}
	b.batchDone = nil
}

// process handles items until they are done or abandoned. It returns how long
// that took when the first attempt succeeded, otherwise 0.
func (b *batcher) process(ctx context.Context, items []item) (took time.Duration) {
	retry := backoff.Backoff{InitialInterval: minRetryDelay, MaxInterval: maxRetryDelay}
	failed := false
	for len(items) > 0 {
		began := time.Now()
		err := b.handle(ctx, items)
		if err == nil && !failed {
			return time.Since(began)
		}
		if err == nil {
			return 0
		}
		failed = true
		wait := retry.Next()
		b.Logger.Error("messages could not be stored; trying again", "messages", len(items), "after", wait, "error", err)
		if backoff.Sleep(ctx, wait) != nil {
			b.abandon(items) // another worker receives them
			return 0
		}
		// Items whose channel is closed are redelivered.
		items = slices.DeleteFunc(items, func(i item) bool { return i.ch.IsClosed() })
		for i := range items {
			items[i].retried = true
		}
	}
	return 0
}

// abandon leaves items to the worker that receives them next. It rejects their
// channels: an acknowledgement covers all earlier messages of its channel, and
// later messages must not be stored before these.
func (b *batcher) abandon(items []item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range items {
		b.reject(i.ch)
	}
}

// handle has items stored, publishes dead letters, and acknowledges.
func (b *batcher) handle(ctx context.Context, items []item) error {
	var batch []broker.Delivery
	for _, i := range items {
		for _, s := range i.submissions {
			batch = append(batch, broker.Delivery{Submission: s, Confirmed: true, Redelivered: i.retried || i.delivery.Redelivered})
		}
	}
	var dead []amqp.Publishing
	for _, i := range items {
		if len(i.submissions) == 0 {
			dead = append(dead, newUnreadableDeadLetter(i.delivery))
		}
	}
	if len(batch) > 0 {
		verdicts, err := b.Handle(ctx, batch)
		if err != nil {
			return err
		}
		if len(verdicts) != len(batch) {
			return fmt.Errorf("the handler gave %d verdicts for %d deliveries", len(verdicts), len(batch))
		}
		for i, refusal := range verdicts {
			if refusal != nil {
				dead = append(dead, newDeadLetter(&batch[i].Submission, refusal))
			}
		}
	}
	// Before the acknowledgement: nothing that was accepted may disappear.
	if len(dead) > 0 {
		if err := b.PublishDeadLetters(ctx, dead); err != nil {
			return fmt.Errorf("publish %d dead letters: %w", len(dead), err)
		}
	}
	b.markDone(items)
	b.acknowledgeDue()
	return nil
}

// markDone records that items may be acknowledged.
func (b *batcher) markDone(items []item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range items {
		u := b.unacked[i.ch]
		if u == nil {
			u = &unacked{since: time.Now()}
			b.unacked[i.ch] = u
		}
		u.tag = max(u.tag, i.delivery.DeliveryTag)
		u.count++
	}
}

// acknowledgeDue acknowledges the channels whose delay is over. It reports
// whether others are left.
func (b *batcher) acknowledgeDue() (left bool) {
	return b.acknowledge(func(_ *amqp.Channel, u *unacked) bool { return u.due() })
}

// acknowledge acknowledges what is done on the channels that match. It reports
// whether others are left.
func (b *batcher) acknowledge(match func(*amqp.Channel, *unacked) bool) (left bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch, u := range b.unacked {
		if !match(ch, u) {
			continue
		}
		delete(b.unacked, ch)
		// A failure means that the channel is gone: its messages are
		// redelivered and recognized as stored.
		if err := ch.Ack(u.tag, true); err != nil && !errors.Is(err, amqp.ErrClosed) {
			b.Logger.Warn("stored messages could not be acknowledged; they will be redelivered", "error", err)
		}
	}
	return len(b.unacked) > 0
}

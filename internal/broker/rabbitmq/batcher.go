package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/retryqueue"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/linger"
)

const (
	// maxAckDelay bounds for how long the acknowledgement of what is done may be
	// delayed, and a quarter of the prefetch for how many messages. See [batcher.due].
	maxAckDelay = 50 * time.Millisecond
	// fullBatch is a number of messages from which on more of them in one call save
	// little.
	fullBatch = 64
	// slowCall is how long a call of the handler may take before others begin with less
	// than fullBatch. On a busy system one takes some 30 ms.
	slowCall = 100 * time.Millisecond
)

// batcher gathers the deliveries of a worker's partitions, passes them to the handler
// in batches, and acknowledges them. One call of the handler at a time has all that came
// since the last one; others, with other conversations, begin beside it when there is a
// full batch for them, or when it takes long. What cannot be stored is tried again
// beside (package retryqueue), so that it holds up only its own conversation: for
// as long as the prefetch of its partition has room. A batcher outlives
// connections, so that a batch of a lost connection is over before its messages
// are redelivered.
//
// Subscriptions call add while their channel lives, then drain, and forget when
// nothing more comes by the channel. These, stale and backlog are safe for concurrent
// use.
type batcher struct {
	batcherConfig
	ready   batching.Signal // something waits, is over, or is to be acknowledged
	retries *retryqueue.Queue[part]
	window  *window // of calls in progress
	// deadLettersFail is whether the last publish of dead letters has failed. Then
	// only the retries publish some, so that nothing else waits for it.
	deadLettersFail atomic.Bool

	mu       sync.Mutex
	over     sync.Cond // a call is over, or parts were taken that begin none; its lock is mu
	stopped  bool      // nothing more is handled
	waiting  waitingParts
	taking   int         // how often parts were taken from waiting that have not begun a call yet
	calls    []time.Time // begins of the calls in progress with what comes for the first time, in order
	channels map[deliverer]*channel
}

// batcherConfig is what a batcher works with. All fields but Linger are required.
type batcherConfig struct {
	Handle broker.Handler
	// PublishDeadLetters returns nil when the messages are durable.
	PublishDeadLetters func(ctx context.Context, messages []amqp.Publishing) error
	Concurrency        int            // calls of Handle at the same time
	MaxBatch           int            // submissions given to Handle at once
	Prefetch           int            // AMQP messages of one channel that may be unacknowledged
	Linger             *linger.Linger // of messages before they are handled; nil for none
	Logger             *slog.Logger
}

func newBatcher(cfg batcherConfig) *batcher {
	b := &batcher{batcherConfig: cfg, ready: batching.NewSignal(), window: newWindow(cfg.Concurrency, 1), channels: map[deliverer]*channel{}}
	b.over.L = &b.mu
	b.retries = retryqueue.New(retryqueue.Config[part]{Conversation: part.conversation, Stale: b.stale, MaxBatch: cfg.MaxBatch, Logger: cfg.Logger})
	return b
}

// deliverer is what a batcher needs of the AMQP channel of a delivery.
type deliverer interface {
	Ack(tag uint64, multiple bool) error
	IsClosed() bool
}

// channel is what a batcher knows of an AMQP channel. The batcher's mu guards it.
type channel struct {
	ch       deliverer
	draining bool // nothing more is taken from it, and nothing of it is tried again
	rejected bool // nothing more of it is handled
	// held are the conversations of which something was not done while it was draining:
	// what comes behind that must not be done either.
	held      map[chat.ConversationID]struct{}
	calls     int       // its parts that calls in progress have
	unacked   []*item   // in the order of their tags
	done      int       // of unacked
	doneSince time.Time // when the first of these was done
}

// hold notes that something of a part's conversation is left to whoever gets the
// channel's messages next. mu is held.
func (c *channel) hold(p part) {
	if c.held == nil {
		c.held = map[chat.ConversationID]struct{}{}
	}
	c.held[p.conversation()] = struct{}{}
}

// usable reports whether what the channel has delivered is this worker's. mu is
// held.
func (c *channel) usable() bool { return !c.rejected && !c.ch.IsClosed() }

// due reports whether it is time to acknowledge. An acknowledgement costs RabbitMQ
// nearly as much as a message, and one covers all earlier messages of its channel.
// When this worker dies first, the messages are redelivered and recognized as
// stored.
func (b *batcher) due(c *channel) bool {
	return c.done >= b.Prefetch/4 || c.done > 0 && time.Since(c.doneSince) >= maxAckDelay
}

// item is one AMQP message in a batcher. The batcher's mu guards left and done.
type item struct {
	from        *channel
	arrived     time.Time
	delivery    amqp.Delivery
	submissions []chat.Submission // nil when they cannot be decoded
	left        int               // parts that are not done
	done        bool
}

// newItem returns the item of a delivery that arrives now.
func newItem(d amqp.Delivery) *item {
	i := &item{delivery: d, arrived: time.Now()}
	decoded, err := decodeBatch(d.Body)
	if err != nil || len(decoded) == 0 {
		i.left = 1 // the whole message becomes a dead letter
		return i
	}
	requeued, _ := d.Headers[headerRequeued].(bool)
	for j := range decoded {
		decoded[j].Requeued = requeued
	}
	i.submissions, i.left = decoded, len(decoded)
	return i
}

// part is one submission of an item, or an item that cannot be decoded.
type part struct {
	item    *item
	at      int         // in item.submissions
	retried bool        // it was handled before, and that has failed
	refusal *chat.Error // it was refused; only the dead letter is missing
	done    bool
}

// unreadable reports whether the item cannot be decoded.
func (p part) unreadable() bool { return p.item.submissions == nil }

// undecided reports whether a handler must decide about it.
func (p part) undecided() bool { return p.refusal == nil && !p.unreadable() }

func (p part) submission() *chat.Submission { return &p.item.submissions[p.at] }

// conversation returns the submission's conversation, 0 for an unreadable item.
func (p part) conversation() chat.ConversationID {
	if p.unreadable() {
		return 0
	}
	return p.submission().Conversation
}

// add queues a delivery. When its channel is rejected, the delivery returns to
// its queue as the channel closes.
func (b *batcher) add(ch deliverer, d amqp.Delivery) {
	i := newItem(d)
	b.mu.Lock()
	if c := b.channel(ch); !c.draining && !b.stopped {
		i.from = c
		b.Linger.Count(i.left, i.arrived)
		for at := range i.left {
			b.waiting.add(part{item: i, at: at})
		}
		c.unacked = append(c.unacked, i)
	}
	b.mu.Unlock()
	b.ready.Notify()
}

// channel returns what is known of a channel. mu is held.
func (b *batcher) channel(ch deliverer) *channel {
	c := b.channels[ch]
	if c == nil {
		c = &channel{ch: ch}
		b.channels[ch] = c
	}
	return c
}

// stale reports whether the channel of a part is rejected: it will come again by
// another one.
func (b *batcher) stale(p part) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.item.from.rejected
}

// drain ends the handling of what a channel has delivered: it waits until no call in
// progress has anything of it, finishes the AMQP messages of which a part is done,
// acknowledges what is done, and forgets what waits to be tried again. An AMQP message
// that is not finished is redelivered as a whole, and what was done of it is announced
// a second time.
func (b *batcher) drain(ch deliverer) {
	defer b.retries.DropStale() // which takes the lock for each part
	b.finish(b.reject(ch))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acknowledge(b.channel(ch))
}

// reject waits until no call in progress has anything of a channel, and rejects it. It
// returns what is left of the AMQP messages of which a part is done, without what is
// behind something that is not.
func (b *batcher) reject(ch deliverer) (begun []part) {
	b.mu.Lock()
	c := b.channel(ch)
	c.draining = true
	var waiting []part
	b.waiting.remove(func(p part) bool {
		if p.item.from == c {
			waiting = append(waiting, p)
		}
		return p.item.from == c
	})
	b.mu.Unlock()
	waiting = b.retries.Admit(waiting) // not with the lock, which it takes for each part
	b.mu.Lock()
	defer b.mu.Unlock()
	for c.calls > 0 || b.taking > 0 {
		b.over.Wait()
	}
	c.rejected = true
	if c.ch.IsClosed() {
		return nil // nothing can be acknowledged any more
	}
	for _, p := range waiting {
		_, held := c.held[p.conversation()]
		if held || p.unreadable() || p.item.left == len(p.item.submissions) {
			c.hold(p)
			continue
		}
		begun = append(begun, p)
	}
	return begun
}

// finishTimeout is how long a partition waits, before it goes to another worker, for what
// is finished here.
const finishTimeout = 5 * time.Second

// finish handles parts of a rejected channel, of whose conversations no call has
// anything. What is not done is redelivered.
func (b *batcher) finish(parts []part) {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	for len(parts) > 0 {
		some := slices.Clone(parts[:min(len(parts), b.MaxBatch)])
		parts = parts[len(some):]
		b.mu.Lock()
		some = slices.DeleteFunc(some, func(p part) bool {
			_, held := p.item.from.held[p.conversation()]
			return held
		})
		for _, p := range some {
			p.item.from.calls++
		}
		b.mu.Unlock()
		err := b.decide(ctx, some, false)
		err = errors.Join(err, b.keepDeadLetters(ctx, some))
		b.end(some)
		if err != nil {
			b.Logger.Warn("messages could not be stored before their partition went to another worker; they will be redelivered", "messages", len(some)+len(parts), "error", err)
			return
		}
	}
}

// forget removes a channel by which nothing more comes.
func (b *batcher) forget(ch deliverer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.channels, ch)
}

// run handles batches until ctx ends.
func (b *batcher) run(ctx context.Context) {
	var retrying sync.WaitGroup
	retrying.Go(func() {
		b.retries.Run(ctx, func(ctx context.Context, parts []part) ([]part, error) {
			b.mu.Lock()
			parts = b.begin(parts, true)
			b.mu.Unlock()
			failed, err := b.handle(ctx, parts, true)
			b.ready.Notify() // to acknowledge
			return failed, err
		})
	})
	defer retrying.Wait()
	b.handleNew(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped, b.waiting = true, waitingParts{}
}

// handleNew handles what comes for the first time, until ctx ends.
func (b *batcher) handleNew(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		oldest, after := b.next(time.Now())
		if oldest == nil {
			if b.acknowledgeDue() && (after == 0 || after > maxAckDelay) {
				after = maxAckDelay
			}
			var later <-chan time.Time
			if after > 0 {
				later = time.After(after)
			}
			select {
			case <-ctx.Done():
				return
			case <-b.ready:
			case <-later:
			}
			continue
		}
		b.Linger.Wait(oldest.arrived)
		slot, err := b.window.acquire(ctx)
		if err != nil {
			return
		}
		// After the wait, so that what came meanwhile is in the batch as well.
		parts, end := b.beginNew()
		if len(parts) == 0 {
			slot.release(0)
			continue
		}
		calls.Go(func() {
			began := time.Now()
			failed, err := b.handle(ctx, parts, false)
			took := time.Since(began)
			if len(failed) > 0 {
				took = 0
			}
			slot.release(took)
			b.retries.Add(failed, err) // before something that comes behind it may be handled
			end()
		})
	}
}

// next returns the item that has waited for the longest time, of those that are not of a
// conversation in a call, if a call may begin now.
// Else it returns nil, and after how long one may begin though nothing else happens; 0
// for never.
func (b *batcher) next(now time.Time) (oldest *item, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.calls)
	switch {
	case b.waiting.free == 0 || n >= b.Concurrency:
		return nil, 0
	case n == 0 || b.waiting.free >= fullBatch || now.Sub(b.calls[n-1]) >= slowCall:
		return b.waiting.oldest().item, 0
	}
	return nil, b.calls[n-1].Add(slowCall).Sub(now)
}

// beginNew begins a call with what waits and is not behind something that is tried
// again. It returns what ends it, too, and nothing if there is nothing.
func (b *batcher) beginNew() (parts []part, end func()) {
	b.mu.Lock()
	parts = b.waiting.take(b.MaxBatch)
	b.taking++
	b.mu.Unlock()
	parts = b.retries.Admit(parts)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taking--
	if parts = b.begin(parts, false); len(parts) == 0 {
		b.over.Broadcast()
		return nil, nil
	}
	began := time.Now()
	b.calls = append(b.calls, began)
	conversations := b.waiting.begin(parts)
	return parts, func() {
		b.mu.Lock()
		at := slices.Index(b.calls, began)
		b.calls = slices.Delete(b.calls, at, at+1)
		b.waiting.end(conversations)
		b.mu.Unlock()
		b.ready.Notify()
	}
}

// backlog returns how many messages are not done: they wait, for the first time or to
// be tried again, or are in work.
func (b *batcher) backlog() (messages int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.channels {
		for _, i := range c.unacked {
			messages += i.left
		}
	}
	return messages
}

// begin begins a call, for the first time or once more. It leaves out what was delivered
// by channels that are closed or rejected: that is redelivered, behind the messages that
// precede it. mu is held.
func (b *batcher) begin(parts []part, retry bool) []part {
	parts = slices.DeleteFunc(parts, func(p part) bool {
		c := p.item.from
		leftOut := !c.usable() || retry && c.draining
		if leftOut && c.draining {
			c.hold(p)
		}
		return leftOut
	})
	for _, p := range parts {
		p.item.from.calls++
	}
	return parts
}

// end ends a call. Items of which all is done may be acknowledged.
func (b *batcher) end(parts []part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range parts {
		i, c := p.item, p.item.from
		c.calls--
		if !p.done {
			if c.draining {
				c.hold(p)
			}
			continue
		}
		if i.left--; i.left > 0 {
			continue
		}
		i.done = true
		if c.done == 0 {
			c.doneSince = time.Now()
		}
		c.done++
	}
	b.over.Broadcast()
}

// handle has the parts of a call that has begun stored, publishes dead letters, and
// acknowledges. It returns what is to be tried again; see [retryqueue.Queue.Run].
func (b *batcher) handle(ctx context.Context, parts []part, retry bool) (failed []part, err error) {
	err = b.decide(ctx, parts, retry)
	// Before the acknowledgement: nothing that was accepted may disappear.
	if retry || !b.deadLettersFail.Load() {
		err = errors.Join(err, b.keepDeadLetters(ctx, parts))
	}
	b.end(parts)
	b.acknowledgeDue()
	for _, p := range parts {
		if !p.done {
			failed = append(failed, p)
		}
	}
	return failed, err
}

// decide has the handler decide about parts, for the first time or once more.
func (b *batcher) decide(ctx context.Context, parts []part, retry bool) error {
	batch := make([]broker.Delivery, 0, len(parts))
	for _, p := range parts {
		if p.undecided() {
			s := *p.submission()
			s.Retried = retry
			batch = append(batch, broker.Delivery{Submission: s, Confirmed: true, Redelivered: p.retried || p.item.delivery.Redelivered})
		}
	}
	if len(batch) == 0 {
		return nil
	}
	verdicts, err := b.Handle(ctx, batch)
	if err == nil && len(verdicts) != len(batch) {
		err = fmt.Errorf("the handler gave %d verdicts for %d deliveries", len(verdicts), len(batch))
	}
	for i := range parts {
		p := &parts[i]
		switch {
		case !p.undecided():
		case err != nil:
			p.retried = true
		default:
			refusal := verdicts[0]
			verdicts = verdicts[1:]
			if p.done = refusal == nil; !p.done && !chat.Undecided(refusal) {
				p.refusal = refusal
			}
		}
	}
	return err
}

// keepDeadLetters publishes the dead letters of parts that need one.
func (b *batcher) keepDeadLetters(ctx context.Context, parts []part) error {
	var dead []amqp.Publishing
	for _, p := range parts {
		switch {
		case p.unreadable():
			dead = append(dead, newUnreadableDeadLetter(p.item.delivery))
		case p.refusal != nil:
			dead = append(dead, newDeadLetter(p.submission(), p.refusal))
		}
	}
	if len(dead) == 0 {
		return nil
	}
	err := b.PublishDeadLetters(ctx, dead)
	b.deadLettersFail.Store(err != nil)
	if err != nil {
		return fmt.Errorf("publish %d dead letters: %w", len(dead), err)
	}
	for i := range parts {
		if p := &parts[i]; p.unreadable() || p.refusal != nil {
			p.done = true
		}
	}
	return nil
}

// acknowledgeDue acknowledges on the channels on which it is time to. It reports
// whether something is left to be acknowledged on others.
func (b *batcher) acknowledgeDue() (left bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.channels {
		if b.due(c) {
			b.acknowledge(c)
		}
		left = left || c.done > 0
	}
	return left
}

// acknowledge acknowledges what is done on a channel: together where nothing
// before it waits, and else one by one, so that the prefetch has room again. mu is
// held.
func (b *batcher) acknowledge(c *channel) {
	var err error
	n := 0
	for n < len(c.unacked) && c.unacked[n].done {
		n++
	}
	if n > 0 {
		err = c.ch.Ack(c.unacked[n-1].delivery.DeliveryTag, true)
		c.unacked = slices.Delete(c.unacked, 0, n)
		c.done -= n
	}
	if c.done > 0 {
		c.unacked = slices.DeleteFunc(c.unacked, func(i *item) bool {
			if i.done && err == nil {
				err = c.ch.Ack(i.delivery.DeliveryTag, false)
			}
			return i.done
		})
		c.done = 0
	}
	// A failure means that the channel is gone: its messages are redelivered and
	// recognized as stored.
	if err != nil && !errors.Is(err, amqp.ErrClosed) {
		b.Logger.Warn("stored messages could not be acknowledged; they will be redelivered", "error", err)
	}
}

package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/linger"
)

// fakeChannel is a channel without a server. It records what is acknowledged.
type fakeChannel struct {
	mu     sync.Mutex
	acked  map[uint64]bool
	last   uint64 // that was delivered
	closed bool
}

func (c *fakeChannel) Ack(tag uint64, multiple bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[tag] = true
	for ; multiple && tag > 0; tag-- {
		c.acked[tag] = true
	}
	return nil
}

func (c *fakeChannel) IsClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *fakeChannel) isAcked(tag uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked[tag]
}

func newFakeChannel() *fakeChannel { return &fakeChannel{acked: map[uint64]bool{}} }

// newTestBatcher is a batcher without a server.
func newTestBatcher(t *testing.T, handle broker.Handler) *batcher {
	t.Helper()
	return newBatcher(batcherConfig{
		Handle: handle, PublishDeadLetters: func(context.Context, []amqp.Publishing) error { return nil },
		Concurrency: 1, MaxBatch: 500, Prefetch: 32, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
}

// deliver adds a delivery of messages, as a subscription does, and returns its tag.
func deliver(b *batcher, ch *fakeChannel, messages ...chat.Submission) uint64 {
	body := beginBatch(nil)
	for i := range messages {
		body = appendSubmission(body, &messages[i])
	}
	ch.last++
	b.add(ch, amqp.Delivery{DeliveryTag: ch.last, Body: body})
	return ch.last
}

func message(c chat.ConversationID, body string) chat.Submission {
	return chat.Submission{Sender: 1, Conversation: c, ReceivedAt: time.Now(), Body: body}
}

// start runs a batcher until stop is called.
func start(t *testing.T, b *batcher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.run(ctx) }()
	return sync.OnceFunc(func() { cancel(); <-done })
}

// A worker that is stopped while a batch fails handles nothing that came after
// it, and acknowledges neither.
func TestStoppedBatcherTakesNothingMore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ch := newFakeChannel()
	var b *batcher
	calls := 0
	b = newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		if calls++; calls == 1 {
			deliver(b, ch, message(1, "the next"))
			cancel()
			return nil, errors.New("the store is unavailable")
		}
		t.Errorf("%q is handled after the one before it was abandoned", batch[0].Body)
		return make([]*chat.Error, len(batch)), nil
	})
	deliver(b, ch, message(1, "the first"))
	b.run(ctx)
	deliver(b, ch, message(1, "a late one"))
	b.drain(ch)
	if calls != 1 || len(b.waiting.parts) > 0 || len(ch.acked) != 0 {
		t.Errorf("%d calls, something waits: %v, acknowledged: %v", calls, len(b.waiting.parts) > 0, ch.acked)
	}
	b.forget(ch)
	if len(b.channels) != 0 {
		t.Error("the channel is remembered for ever")
	}
}

// When a partition goes to another worker, an AMQP message of which a part is stored is
// finished: redelivered, what is stored would be announced again. What was not begun, and
// what is behind something that fails, goes on elsewhere.
func TestDrainFinishesWhatIsBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		called, goOn := make(chan struct{}, 10), make(chan struct{})
		var mu sync.Mutex
		var handled []string
		b := newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			called <- struct{}{}
			<-goOn
			mu.Lock()
			defer mu.Unlock()
			verdicts := make([]*chat.Error, len(batch))
			for i, d := range batch {
				if d.Conversation == 3 {
					verdicts[i] = chat.Refuse(chat.CodeUnavailable, "", "not now")
					continue
				}
				handled = append(handled, d.Body)
			}
			return verdicts, nil
		})
		b.MaxBatch = 3
		stop := start(t, b)
		defer stop()
		ch := newFakeChannel()
		whole := deliver(b, ch, message(1, "a"), message(2, "b"), message(1, "c"), message(2, "d"), message(1, "e"))
		waits := deliver(b, ch, message(4, "not begun"))
		<-called // with a, b and c
		drained := make(chan struct{})
		go func() { defer close(drained); b.drain(ch) }()
		synctest.Wait()
		close(goOn)
		<-drained
		if want := []string{"a", "b", "c", "d", "e"}; !slices.Equal(handled, want) {
			t.Errorf("handled %q, want %q", handled, want)
		}
		if !ch.isAcked(whole) || ch.isAcked(waits) {
			t.Errorf("acknowledged: %v", ch.acked)
		}

		// One of which a part fails is not finished, and nothing behind that part is done.
		ch, handled, b.MaxBatch = newFakeChannel(), nil, 2
		goOn = make(chan struct{})
		failing := deliver(b, ch, message(3, "f"), message(5, "g"), message(3, "h"), message(6, "i"))
		<-called // with d and e before it
		<-called // with f and g
		drained = make(chan struct{})
		go func() { defer close(drained); b.drain(ch) }()
		synctest.Wait()
		close(goOn)
		<-drained
		stop()
		if want := []string{"g", "i"}; !slices.Equal(handled, want) {
			t.Errorf("handled %q, want %q", handled, want)
		}
		if ch.isAcked(failing) {
			t.Error("what has failed is acknowledged")
		}
	})
}

// A call that hangs on one conversation stops nothing else for longer than it counts;
// nor do its retries.
func TestHungCallStopsOneConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hangs = time.Minute
		handled := make(chan string, 100)
		b := newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			if slices.ContainsFunc(batch, func(d broker.Delivery) bool { return d.Conversation == 1 }) {
				time.Sleep(hangs)
				return nil, errors.New("timeout")
			}
			for _, d := range batch {
				handled <- d.Body
			}
			return make([]*chat.Error, len(batch)), nil
		})
		b.Concurrency = 2 // of which the window gives one
		stop := start(t, b)
		ch := newFakeChannel()
		next := func(what, want string, within time.Duration) {
			t.Helper()
			began := time.Now()
			if got := <-handled; got != want {
				t.Errorf("%s: %s is handled, want %s", what, got, want)
			}
			if took := time.Since(began); took > within {
				t.Errorf("%s: it took %v", what, took)
			}
		}
		hung := deliver(b, ch, message(1, "hangs"))
		synctest.Wait()
		first := deliver(b, ch, message(3, "3"))
		next("another conversation, while the first try hangs", "3", maxCounted)
		time.Sleep(maxCounted) // the call that hangs has no slot any more
		for _, body := range []string{"4", "5"} {
			deliver(b, ch, message(3, body))
			next("and once more", body, 0)
		}
		time.Sleep(hangs) // the second try hangs
		synctest.Wait()
		behind := deliver(b, ch, message(1, "behind"))
		beside := deliver(b, ch, message(2, "2"))
		next("another conversation, while the second try hangs", "2", 0)
		time.Sleep(2 * maxAckDelay)
		synctest.Wait()
		if ch.isAcked(hung) || ch.isAcked(behind) || !ch.isAcked(first) || !ch.isAcked(beside) {
			t.Errorf("acknowledged: %v", ch.acked)
		}
		stop()
	})
}

// What comes while a call is in progress waits for it, so that it is handled together,
// until it fills a call of its own.
func TestCallsBeginBesideOthersWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work = slowCall / 2
		var mu sync.Mutex
		var calls []int
		b := newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			mu.Lock()
			calls = append(calls, len(batch))
			mu.Unlock()
			time.Sleep(work)
			return make([]*chat.Error, len(batch)), nil
		})
		b.Concurrency, b.window = 2, newWindow(2, 2)
		stop := start(t, b)
		ch := newFakeChannel()
		ordinary := func(n int) {
			for i := range n {
				deliver(b, ch, message(chat.ConversationID(2+i), "x"))
			}
			synctest.Wait()
		}
		expect := func(want ...int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(calls, want) {
				t.Errorf("calls with %v messages, want %v", calls, want)
			}
		}
		deliver(b, ch, message(1, "first"))
		synctest.Wait()
		ordinary(fullBatch - 1)
		for range fullBatch { // of the conversation that is in the call
			deliver(b, ch, message(1, "more"))
		}
		synctest.Wait()
		expect(1)
		ordinary(1)
		expect(1, fullBatch)
		time.Sleep(work)
		synctest.Wait()
		expect(1, fullBatch, fullBatch)
		time.Sleep(time.Second)
		stop()
	})
}

// Dead letters that cannot be kept hold up what they are of, and nothing else.
func TestDeadLettersThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handled := make(chan string, 100)
		b := newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			verdicts := make([]*chat.Error, len(batch))
			for i, d := range batch {
				handled <- d.Body
				if d.Conversation == 1 {
					verdicts[i] = chat.NotFound("conversation")
				}
			}
			return verdicts, nil
		})
		var works atomic.Bool
		var kept atomic.Int64
		b.PublishDeadLetters = func(_ context.Context, dead []amqp.Publishing) error {
			if !works.Load() {
				time.Sleep(confirmTimeout)
				return errOutcomeUnknown
			}
			kept.Add(int64(len(dead)))
			return nil
		}
		ch := newFakeChannel()
		stop := start(t, b)
		refused := deliver(b, ch, message(1, "refused"), message(2, "beside"))
		time.Sleep(2 * confirmTimeout)
		later := deliver(b, ch, message(2, "later"))
		again := deliver(b, ch, message(1, "refused, too"))
		time.Sleep(time.Second)
		if ch.isAcked(refused) || ch.isAcked(again) || !ch.isAcked(later) {
			t.Errorf("acknowledged: %v", ch.acked)
		}
		works.Store(true)
		time.Sleep(time.Minute)
		if !ch.isAcked(refused) || !ch.isAcked(again) || kept.Load() != 2 {
			t.Errorf("at the end %d dead letters are kept, acknowledged: %v", kept.Load(), ch.acked)
		}
		if len(handled) != 4 {
			t.Errorf("4 messages are handled %d times", len(handled))
		}
		stop()
	})
}

// Only what is tried once more may wait for what keeps it.
func TestRetriesAreMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var retried []bool
		b := newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			verdicts := make([]*chat.Error, len(batch))
			for i, d := range batch {
				retried = append(retried, d.Retried)
				if len(retried) < 3 {
					verdicts[i] = chat.Refuse(chat.CodeUnavailable, "", "held")
				}
			}
			return verdicts, nil
		})
		stop := start(t, b)
		deliver(b, newFakeChannel(), message(1, "held"))
		time.Sleep(time.Minute)
		stop()
		if want := []bool{false, true, true}; !slices.Equal(retried, want) {
			t.Errorf("%v, want %v", retried, want)
		}
	})
}

// What a channel has delivered does not stay when the channel is gone, whatever is
// tried or handled at that moment.
func TestClosedChannelsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBatcher(t, func(context.Context, []broker.Delivery) ([]*chat.Error, error) {
			time.Sleep(300 * time.Millisecond)
			return nil, errors.New("the store is unavailable")
		})
		stop := start(t, b)
		for n := range 50 {
			ch := newFakeChannel()
			for c := range b.Prefetch {
				deliver(b, ch, message(chat.ConversationID(1+c%3), "again"))
				time.Sleep(time.Duration(n) * time.Millisecond)
			}
			b.drain(ch)
			b.forget(ch)
		}
		stop()
		if n := len(b.retries.Drain()); n > 0 {
			t.Errorf("%d messages of channels that are gone wait", n)
		}
		ch := newFakeChannel()
		if parts := b.retries.Admit([]part{{item: &item{from: b.channel(ch), submissions: []chat.Submission{message(1, "new")}}}}); len(parts) != 1 {
			t.Error("a new message waits behind what is gone")
		}
	})
}

// Whatever fails and hangs, each conversation is handled in order, by one call at
// a time, and nothing is acknowledged before it is done. Channels close at random
// and what they have not acknowledged is delivered again, to one of two workers, as by
// RabbitMQ.
func TestOrderWhateverFails(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { simulateBatcher(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func simulateBatcher(t *testing.T, r *rand.Rand) {
	const conversations = 6
	random := &lockedRand{r: r}
	var mu sync.Mutex
	busy := map[chat.ConversationID]bool{}
	next := map[chat.ConversationID]int{} // number of the next message to be stored
	handle := func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		mine := map[chat.ConversationID]bool{}
		mu.Lock()
		for _, d := range batch {
			if busy[d.Conversation] && !mine[d.Conversation] {
				t.Errorf("two calls have conversation %d", d.Conversation)
			}
			mine[d.Conversation], busy[d.Conversation] = true, true
		}
		mu.Unlock()
		time.Sleep(time.Duration(random.intN(3000)) * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		for c := range mine {
			busy[c] = false
		}
		if mine[conversations] && random.intN(3) > 0 || random.intN(20) == 0 {
			return nil, errors.New("it failed")
		}
		held := map[chat.ConversationID]bool{}
		for c := range mine {
			held[c] = random.intN(4) == 0
		}
		verdicts := make([]*chat.Error, len(batch))
		for i, d := range batch {
			if held[d.Conversation] {
				verdicts[i] = chat.Refuse(chat.CodeUnavailable, "", "held")
				continue
			}
			n, _ := strconv.Atoi(d.Body)
			switch {
			case n == next[d.Conversation]:
				next[d.Conversation]++
			case n > next[d.Conversation]:
				t.Errorf("conversation %d: %d comes before %d", d.Conversation, n, next[d.Conversation])
			}
			if n%5 == 4 {
				verdicts[i] = chat.NotFound("conversation")
			}
		}
		return verdicts, nil
	}
	workers := make([]*batcher, 2)
	for i := range workers {
		b := newTestBatcher(t, handle)
		b.Logger = slog.New(slog.DiscardHandler)
		b.MaxBatch, b.Concurrency = 1+r.IntN(8), 1+r.IntN(3)
		b.window = newWindow(b.Concurrency, 1)
		b.PublishDeadLetters = func(context.Context, []amqp.Publishing) error {
			if random.intN(3) == 0 {
				return errOutcomeUnknown
			}
			return nil
		}
		workers[i] = b
		defer start(t, b)()
	}
	b := workers[0]
	// What a queue has, in its order, and what of it was delivered by the channel.
	var queue, delivered [][]chat.Submission
	ch := newFakeChannel()
	unacked := func() (left [][]chat.Submission) {
		for i, m := range delivered {
			if !ch.isAcked(uint64(i + 1)) {
				left = append(left, m)
				continue
			}
			for _, s := range m {
				mu.Lock()
				if n, _ := strconv.Atoi(s.Body); n >= next[s.Conversation] {
					t.Errorf("%s of conversation %d is acknowledged and not stored", s.Body, s.Conversation)
				}
				mu.Unlock()
			}
		}
		return left
	}
	reconnect := func() {
		b.drain(ch)
		queue = slices.Concat(unacked(), queue)
		b.forget(ch)
		ch, delivered = newFakeChannel(), nil
		b = workers[random.intN(2)]
	}
	published := map[chat.ConversationID]int{}
	for range 60 {
		var messages []chat.Submission
		for range 1 + random.intN(4) {
			c := chat.ConversationID(1 + random.intN(conversations))
			messages = append(messages, message(c, fmt.Sprint(published[c])))
			published[c]++
		}
		queue = append(queue, messages)
		for len(queue) > 0 && len(unacked()) < b.Prefetch && random.intN(4) > 0 {
			delivered = append(delivered, queue[0])
			deliver(b, ch, queue[0]...)
			queue = queue[1:]
		}
		time.Sleep(time.Duration(random.intN(500)) * time.Millisecond)
		switch random.intN(20) {
		case 0:
			reconnect()
		case 1: // the connection is lost first
			ch.mu.Lock()
			ch.closed = true
			ch.mu.Unlock()
			time.Sleep(time.Duration(random.intN(500)) * time.Millisecond)
			reconnect()
		}
	}
	for len(queue) > 0 || len(unacked()) > 0 {
		for len(queue) > 0 && len(unacked()) < b.Prefetch {
			delivered = append(delivered, queue[0])
			deliver(b, ch, queue[0]...)
			queue = queue[1:]
		}
		time.Sleep(time.Second)
	}
	for c, n := range published {
		if next[c] != n {
			t.Errorf("%d of %d messages of conversation %d are stored", next[c], n, c)
		}
	}
}

// lockedRand is a source for several goroutines.
type lockedRand struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (l *lockedRand) intN(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.IntN(n)
}

// Deliveries of several partitions that come shortly after each other are handled
// together where that pays, and one that comes alone is handled at once.
func TestDeliveriesLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const longest = 10 * time.Millisecond
		var sizes []int
		b := newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			sizes = append(sizes, len(batch))
			return make([]*chat.Error, len(batch)), nil
		})
		b.Linger = linger.New(longest)
		t.Cleanup(start(t, b))
		partitions := []*fakeChannel{newFakeChannel(), newFakeChannel(), newFakeChannel()}
		began := time.Now()
		deliver(b, partitions[0], message(1, "alone"))
		synctest.Wait()
		if took := time.Since(began); took != 0 || len(sizes) != 1 {
			t.Errorf("one that comes alone is handled after %v: %v", took, sizes)
		}
		const deliveries = 300
		for i := range deliveries {
			time.Sleep(time.Millisecond)
			deliver(b, partitions[i%len(partitions)], message(chat.ConversationID(i+2), "one of many"))
		}
		time.Sleep(longest)
		synctest.Wait()
		handled := 0
		for _, n := range sizes {
			handled += n
		}
		if at := deliveries / int(longest/time.Millisecond); handled != 1+deliveries || len(sizes) > 2*at+60 { // until it is noticed how many come
			t.Errorf("%d of %d deliveries were handled in %d batches", handled, 1+deliveries, len(sizes))
		}
	})
}

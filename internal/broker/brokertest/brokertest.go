// Package brokertest is the conformance suite of the broker port: every
// backend runs it, against its real server.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

// Harness is what a backend provides.
type Harness struct {
	// Open returns a broker with queues of its own that accepts about maxQueued
	// submissions before it refuses. The suite closes it.
	Open func(t *testing.T, maxQueued int) broker.Broker
	// ConfirmsAfterHandling reports whether the broker knows the verdict before it
	// confirms, so that the publisher gets refusals.
	ConfirmsAfterHandling bool
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("order in a conversation, everything handled once", func(t *testing.T) { testOrder(t, h) })
	t.Run("a failed batch is redelivered, in order", func(t *testing.T) { testRetry(t, h) })
	t.Run("a conversation that is undecided holds up no other", func(t *testing.T) {
		testIsolation(t, h, func(batch []broker.Delivery) ([]*chat.Error, error) {
			verdicts := make([]*chat.Error, len(batch))
			for i, d := range batch {
				if d.Conversation == 1 {
					verdicts[i] = chat.Refuse(chat.CodeUnavailable, "", "it is held")
				}
			}
			return verdicts, nil
		})
	})
	t.Run("a conversation whose batches fail holds up no other", func(t *testing.T) {
		testIsolation(t, h, func(batch []broker.Delivery) ([]*chat.Error, error) {
			for _, d := range batch {
				if d.Conversation == 1 {
					return nil, errors.New("it failed")
				}
			}
			return make([]*chat.Error, len(batch)), nil
		})
	})
	t.Run("refusals", func(t *testing.T) { testRefusal(t, h) })
	t.Run("overload is refused and bounded", func(t *testing.T) { testOverload(t, h) })
	t.Run("close confirms what was queued", func(t *testing.T) { testClose(t, h) })
	t.Run("a consumer continues after one that stopped", func(t *testing.T) { testHandover(t, h) })
}

func submission(conversation, n int) chat.Submission {
	var id chat.ClientID
	id[6], id[8] = 0x70, 0x80
	id[0], id[1], id[2], id[3] = byte(conversation), byte(n>>16), byte(n>>8), byte(n)
	return chat.Submission{
		Sender: chat.UserID(conversation + 1), Conversation: chat.ConversationID(conversation + 1), ClientID: id,
		Body: fmt.Sprint(n), ReceivedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}

// consume runs a consumer until stop is called.
func consume(t *testing.T, b broker.Broker, handle broker.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Consume(ctx, handle) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := eventually.Receive(t, "Consume returns after its context ended", done); err != nil {
				t.Errorf("Consume: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	eventually.Nil(t, "the broker is ready", func() error { return b.Ready(ctx) })
	return stop
}

func closeBroker(t *testing.T, b broker.Broker) {
	t.Helper()
	if err := b.Close(eventually.Context(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// confirms collects the confirmations of publishes.
type confirms struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	errs map[chat.ClientID][]error
}

func (c *confirms) publish(b broker.Broker, s chat.Submission) error {
	c.wg.Add(1)
	err := b.Publish(s, func(err error) {
		c.mu.Lock()
		if c.errs == nil {
			c.errs = map[chat.ClientID][]error{}
		}
		c.errs[s.ClientID] = append(c.errs[s.ClientID], err)
		c.mu.Unlock()
		c.wg.Done()
	})
	if err != nil {
		c.wg.Done()
	}
	return err
}

func (c *confirms) wait(t *testing.T) map[chat.ClientID][]error {
	t.Helper()
	done := make(chan struct{})
	go func() { c.wg.Wait(); close(done) }()
	eventually.Receive(t, "every publish is confirmed", done)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errs
}

// recorder records what was handled.
type recorder struct {
	mu   sync.Mutex
	seen map[chat.ConversationID][]string
	busy map[chat.ConversationID]bool
}

func (rec *recorder) handle(t *testing.T) broker.Handler {
	return func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		rec.mu.Lock()
		if rec.seen == nil {
			rec.seen, rec.busy = map[chat.ConversationID][]string{}, map[chat.ConversationID]bool{}
		}
		mine := map[chat.ConversationID]bool{}
		for _, d := range batch {
			if rec.busy[d.Conversation] && !mine[d.Conversation] {
				t.Errorf("two handlers work on conversation %d at once", d.Conversation)
			}
			mine[d.Conversation], rec.busy[d.Conversation] = true, true
			rec.seen[d.Conversation] = append(rec.seen[d.Conversation], d.Body)
		}
		rec.mu.Unlock()
		rec.mu.Lock()
		for id := range mine {
			rec.busy[id] = false
		}
		rec.mu.Unlock()
		return make([]*chat.Error, len(batch)), nil
	}
}

// handled is how many deliveries were handled.
func (rec *recorder) handled() (n int) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, seen := range rec.seen {
		n += len(seen)
	}
	return n
}

func (rec *recorder) check(t *testing.T, conversations, each int) {
	t.Helper()
	// A broker may confirm before it delivers.
	eventually.True(t, "everything is handled", func() bool { return rec.handled() >= conversations*each })
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for c := range conversations {
		got := rec.seen[chat.ConversationID(c+1)]
		if len(got) != each {
			t.Errorf("conversation %d: %d handled, want %d", c+1, len(got), each)
			continue
		}
		for n, body := range got {
			if body != fmt.Sprint(n) {
				t.Errorf("conversation %d: %s at place %d", c+1, body, n)
				break
			}
		}
	}
}

func testOrder(t *testing.T, h Harness) {
	const conversations, each = 20, 200
	b := h.Open(t, 2*conversations*each)
	var rec recorder
	consume(t, b, rec.handle(t))
	var c confirms
	var wg sync.WaitGroup
	for conversation := range conversations {
		wg.Go(func() {
			for n := range each {
				if err := c.publish(b, submission(conversation, n)); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for id, errs := range c.wait(t) {
		if len(errs) != 1 || errs[0] != nil {
			t.Errorf("%s: confirmed with %v", id, errs)
		}
	}
	closeBroker(t, b)
	rec.check(t, conversations, each)
}

func testRetry(t *testing.T, h Harness) {
	const each = 50
	b := h.Open(t, 1000)
	var rec recorder
	var failures int
	var mu sync.Mutex
	inner := rec.handle(t)
	consume(t, b, func(ctx context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		mu.Lock()
		failures++
		fail := failures <= 3
		mu.Unlock()
		if fail {
			return nil, errors.New("the store is unavailable")
		}
		return inner(ctx, batch)
	})
	var c confirms
	for n := range each {
		if err := c.publish(b, submission(0, n)); err != nil {
			t.Fatal(err)
		}
	}
	for id, errs := range c.wait(t) {
		if len(errs) != 1 || errs[0] != nil {
			t.Errorf("%s: confirmed with %v", id, errs)
		}
	}
	closeBroker(t, b)
	rec.check(t, 1, each)
}

// testIsolation publishes to conversations of which the first cannot be handled,
// in the way of hold, until all others are; later it is handled in order.
func testIsolation(t *testing.T, h Harness, hold func([]broker.Delivery) ([]*chat.Error, error)) {
	const conversations, each, waves = 20, 20, 3
	b := h.Open(t, 10_000)
	var rec recorder
	var held atomic.Bool
	held.Store(true)
	inner := rec.handle(t)
	consume(t, b, func(ctx context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		if !held.Load() {
			return inner(ctx, batch)
		}
		verdicts, err := hold(batch)
		if err != nil {
			return nil, err
		}
		var decided []broker.Delivery
		for i, d := range batch {
			if !chat.Undecided(verdicts[i]) {
				decided = append(decided, d)
			}
		}
		if _, err := inner(ctx, decided); err != nil {
			return nil, err
		}
		return verdicts, nil
	})
	var c confirms
	for wave := range waves {
		for n := wave * each; n < (wave+1)*each; n++ {
			for conversation := range conversations {
				if err := c.publish(b, submission(conversation, n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		eventually.True(t, "the others are handled", func() bool { return rec.handled() == (conversations-1)*each*(wave+1) })
	}
	held.Store(false)
	for id, errs := range c.wait(t) {
		if len(errs) != 1 || errs[0] != nil {
			t.Errorf("%s: confirmed with %v", id, errs)
		}
	}
	rec.check(t, conversations, each*waves)
	closeBroker(t, b)
}

func testRefusal(t *testing.T, h Harness) {
	b := h.Open(t, 100)
	refusal := chat.NotFound("conversation")
	handled := make(chan bool, 2)
	consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		verdicts := make([]*chat.Error, len(batch))
		for i, d := range batch {
			if d.Confirmed == h.ConfirmsAfterHandling {
				t.Errorf("Confirmed is %v", d.Confirmed)
			}
			if d.Body == "1" {
				verdicts[i] = refusal
			}
			handled <- true
		}
		return verdicts, nil
	})
	var c confirms
	for n := range 2 {
		if err := c.publish(b, submission(0, n)); err != nil {
			t.Fatal(err)
		}
	}
	errs := c.wait(t)
	for range 2 {
		eventually.Receive(t, "it is handled", handled)
	}
	if got := errs[submission(0, 0).ClientID][0]; got != nil {
		t.Errorf("the good one was confirmed with %v", got)
	}
	got := errs[submission(0, 1).ClientID][0]
	if h.ConfirmsAfterHandling && chat.CodeOf(got) != chat.CodeNotFound {
		t.Errorf("the refused one was confirmed with %v", got)
	}
	if !h.ConfirmsAfterHandling && got != nil {
		t.Errorf("the refused one was confirmed with %v", got)
	}
	closeBroker(t, b)
}

func testOverload(t *testing.T, h Harness) {
	const maxQueued = 100
	b := h.Open(t, maxQueued)
	release := make(chan struct{})
	var rec recorder
	inner := rec.handle(t)
	consume(t, b, func(ctx context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		<-release
		return inner(ctx, batch)
	})
	var c confirms
	if err := b.Refusing(); err != nil {
		t.Errorf("an empty broker refuses: %v", err)
	}
	accepted := 0
	var refused error
	for n := 0; n < 100*maxQueued && refused == nil; n++ {
		if refused = c.publish(b, submission(0, n)); refused == nil {
			accepted++
		}
	}
	if chat.CodeOf(refused) != chat.CodeOverloaded {
		t.Errorf("after %d: refused with %v, want %s", accepted, refused, chat.CodeOverloaded)
	}
	close(release)
	for id, errs := range c.wait(t) {
		if len(errs) != 1 || errs[0] != nil {
			t.Errorf("%s: accepted, and confirmed with %v", id, errs)
		}
	}
	eventually.True(t, "a broker that has handled everything takes more", func() bool { return b.Refusing() == nil })
	closeBroker(t, b)
	rec.check(t, 1, accepted)
}

func testClose(t *testing.T, h Harness) {
	b := h.Open(t, 1000)
	var rec recorder
	stop := consume(t, b, rec.handle(t))
	var c confirms
	for n := range 500 {
		if err := c.publish(b, submission(0, n)); err != nil {
			t.Fatal(err)
		}
	}
	closeBroker(t, b)
	closeBroker(t, b)
	for id, errs := range c.wait(t) {
		if len(errs) != 1 || errs[0] != nil {
			t.Errorf("%s: confirmed with %v", id, errs)
		}
	}
	if err := b.Publish(submission(0, 501), func(error) { t.Error("confirmed") }); chat.CodeOf(err) != chat.CodeUnavailable {
		t.Errorf("publish after close: %v, want %s", err, chat.CodeUnavailable)
	}
	stop()
}

func testHandover(t *testing.T, h Harness) {
	const each = 300
	b := h.Open(t, 1000)
	var rec recorder
	first := consume(t, b, rec.handle(t))
	var c confirms
	for n := range each {
		if n == each/2 {
			first()
			consume(t, b, rec.handle(t))
		}
		if err := c.publish(b, submission(0, n)); err != nil {
			t.Fatal(err)
		}
	}
	for id, errs := range c.wait(t) {
		if len(errs) != 1 || errs[0] != nil {
			t.Errorf("%s: confirmed with %v", id, errs)
		}
	}
	closeBroker(t, b)
	rec.check(t, 1, each)
}

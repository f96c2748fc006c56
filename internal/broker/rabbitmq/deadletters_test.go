package rabbitmq_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// What is refused after it was confirmed, and what cannot be decoded, is kept as a
// dead letter. The former can be requeued.
func TestDeadLetters(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	cfg := rabbitmq.Config{URLs: []string{url}, Partitions: 2}
	b := open(t, cfg)
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.PublishWithContext(t.Context(), "hikyaku.messages", "0", true, false, amqp.Publishing{Body: []byte("nonsense")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	stored := map[string]bool{}
	refuse := true
	done := make(chan error, 1)
	go func() {
		done <- b.Consume(ctx, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			mu.Lock()
			defer mu.Unlock()
			verdicts := make([]*chat.Error, len(batch))
			for i, d := range batch {
				if refuse && d.Body == "3" {
					verdicts[i] = chat.NotFound("conversation")
					continue
				}
				stored[d.Body] = true
			}
			return verdicts, nil
		})
	}()
	for n := range 6 {
		answer := make(chan error, 1)
		if err := b.Publish(submission(1, n), func(err error) { answer <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	store, err := rabbitmq.OpenDeadLetterStore(t.Context(), cfg.URLs, cfg.Partitions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	list := func() (deadLetters []rabbitmq.DeadLetter) {
		t.Helper()
		if err := store.Each(func(d rabbitmq.DeadLetter) bool { deadLetters = append(deadLetters, d); return true }); err != nil {
			t.Fatal(err)
		}
		return deadLetters
	}
	eventually.True(t, "two dead letters", func() bool { return len(list()) == 2 })
	var id, nonsense string
	for _, d := range list() {
		switch {
		case d.Submission == nil:
			nonsense = d.ID
		case d.Submission.Body == "3" && d.Code == chat.CodeNotFound && d.Reason != "":
			id = d.ID
		default:
			t.Errorf("a dead letter that should not be one: %+v", d)
		}
	}
	if err := store.Requeue(t.Context(), "absent"); !errors.Is(err, rabbitmq.ErrNoDeadLetter) {
		t.Errorf("an unknown id: %v", err)
	}
	if err := store.Requeue(t.Context(), nonsense); err == nil {
		t.Error("what cannot be decoded was requeued")
	}
	fewer, err := rabbitmq.OpenDeadLetterStore(t.Context(), cfg.URLs, cfg.Partitions-1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fewer.Close() })
	if err := fewer.Requeue(t.Context(), id); err == nil || !strings.Contains(err.Error(), "--partitions") {
		t.Errorf("requeued to the queues of fewer partitions: %v", err)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	if err := store.Requeue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "it is stored", func() bool { mu.Lock(); defer mu.Unlock(); return stored["3"] })
	eventually.True(t, "one is left", func() bool { return len(list()) == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A dead letter is kept also when the dead letter queue was deleted, and leaves it
// only for a queue that exists.
func TestDeadLettersWithoutAQueue(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1})
	stop := consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		verdicts := make([]*chat.Error, len(batch))
		for i := range verdicts {
			verdicts[i] = chat.NotFound("conversation")
		}
		return verdicts, nil
	})
	deleteQueue(t, url, "hikyaku.dead")
	publish(t, b, 0)
	eventually.True(t, "the queue is declared again", func() bool {
		return withRawChannel(t, url, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("hikyaku.dead", true, false, false, false, nil)
			return err
		}) == nil
	})
	store, err := rabbitmq.OpenDeadLetterStore(t.Context(), []string{url}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var deadLetters []string
	list := func() int {
		deadLetters = nil
		if err := store.Each(func(d rabbitmq.DeadLetter) bool { deadLetters = append(deadLetters, d.ID); return true }); err != nil {
			t.Fatal(err)
		}
		return len(deadLetters)
	}
	eventually.True(t, "the dead letter", func() bool { return list() == 1 })
	stop()
	deleteQueue(t, url, "hikyaku.messages.0")
	if err := store.Requeue(t.Context(), deadLetters[0]); err == nil || !strings.Contains(err.Error(), "no such queue") {
		t.Errorf("requeued to a queue that does not exist: %v", err)
	}
	if n := list(); n != 1 {
		t.Errorf("%d dead letters are left", n)
	}
}

// Dead letters are bounded in number, the latest are kept, and expire.
func TestDeadLettersAreBounded(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1, MaxBatch: 1, MaxDeadLetters: 3, DeadLetterRetention: time.Hour})
	var handled atomic.Int64
	stop := consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		handled.Add(int64(len(batch)))
		verdicts := make([]*chat.Error, len(batch))
		for i := range verdicts {
			verdicts[i] = chat.NotFound("conversation")
		}
		return verdicts, nil
	})
	var bodies []string
	for i := range 7 {
		s := submission(1, i)
		bodies = append(bodies, s.Body)
		answer := make(chan error, 1)
		if err := b.Publish(s, func(err error) { answer <- err }); err != nil {
			t.Fatal(err)
		}
		if err := eventually.Receive(t, "it is confirmed", answer); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "all are refused", func() bool { return handled.Load() == 7 })
	stop()
	store, err := rabbitmq.OpenDeadLetterStore(t.Context(), []string{url}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var left []string
	if err := store.Each(func(d rabbitmq.DeadLetter) bool { left = append(left, d.Submission.Body); return true }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(left, bodies[4:]) {
		t.Errorf("the dead letters %v are left", left)
	}
	if err := withRawChannel(t, url, func(ch *amqp.Channel) error {
		d, ok, err := ch.Get("hikyaku.dead", true)
		if err == nil && (!ok || d.Expiration != "3600000") {
			t.Errorf("a dead letter expires after %q ms", d.Expiration)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A message that is refused twice, as when a worker dies before it acknowledges,
// is one dead letter, and comes once more when an operator requeues it.
func TestOneDeadLetterForAMessage(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1})
	requeued := make(chan bool, 10)
	stop := consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		verdicts := make([]*chat.Error, len(batch))
		for i := range batch {
			if requeued <- batch[i].Requeued; !batch[i].Requeued {
				verdicts[i] = chat.NotFound("conversation")
			}
		}
		return verdicts, nil
	})
	defer stop()
	s := submission(1, 0)
	for range 2 {
		answer := make(chan error, 1)
		if err := b.Publish(s, func(err error) { answer <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	inQueue := func() (n int) {
		if err := withRawChannel(t, url, func(ch *amqp.Channel) error {
			q, err := ch.QueueDeclarePassive("hikyaku.dead", true, false, false, false, nil)
			n = q.Messages
			return err
		}); err != nil {
			return -1
		}
		return n
	}
	eventually.True(t, "both are in the queue", func() bool { return inQueue() == 2 })
	store, err := rabbitmq.OpenDeadLetterStore(t.Context(), []string{url}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var ids []string
	list := func() {
		t.Helper()
		ids = nil
		if err := store.Each(func(d rabbitmq.DeadLetter) bool { ids = append(ids, d.ID); return true }); err != nil {
			t.Fatal(err)
		}
	}
	if list(); len(ids) != 1 {
		t.Fatalf("listed: %v", ids)
	}
	if err := store.Requeue(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, false, true} {
		if got := <-requeued; got != want {
			t.Errorf("delivery %d is requeued: %v", i, got)
		}
	}
	eventually.True(t, "none is left", func() bool { return inQueue() == 0 })
	select {
	case <-requeued:
		t.Error("it came twice")
	default:
	}
}

package rabbitmq_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// publish publishes one message and waits until it is confirmed.
func publish(t *testing.T, b broker.Publisher, n int) {
	t.Helper()
	answer := make(chan error, 1)
	if err := b.Publish(submission(1, n), func(err error) { answer <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
}

// consume runs Consume until stop is called, which waits for its end.
func consume(t *testing.T, b broker.Consumer, handle broker.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Consume(ctx, handle) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// A worker is stopped while a batch cannot be stored and another message
// waits behind it: the next worker gets both, in their order.
func TestStopWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1, Concurrency: 1})
	for round := range 5 {
		first, second := 2*round, 2*round+1
		publish(t, b, first)
		var mu sync.Mutex
		var stored []string
		store := func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			mu.Lock()
			defer mu.Unlock()
			for _, d := range batch {
				stored = append(stored, d.Body)
			}
			return make([]*chat.Error, len(batch)), nil
		}
		failed := make(chan struct{})
		fail := sync.OnceFunc(func() { close(failed) })
		stop := consume(t, b, func(ctx context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			select {
			case <-failed:
				return store(ctx, batch)
			default:
				fail()
				return nil, errors.New("the store is unavailable")
			}
		})
		<-failed
		publish(t, b, second)
		eventually.True(t, "it reaches the worker", func() bool {
			waiting := -1
			if err := withRawChannel(t, url, func(ch *amqp.Channel) error {
				q, err := ch.QueueDeclarePassive("hikyaku.messages.0", true, false, false, false, nil)
				waiting = q.Messages
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return waiting == 0
		})
		stop()
		stop = consume(t, b, store)
		eventually.True(t, "both are stored", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(stored) >= 2
		})
		stop()
		mu.Lock()
		if stored[0] != submission(1, first).Body {
			t.Errorf("stored in the order %v", stored)
		}
		mu.Unlock()
	}
}

// A refusal that comes while the worker is being stopped is kept as a dead letter,
// once, also when the publishers are closed already.
func TestStopKeepsDeadLetters(t *testing.T) {
	t.Parallel()
	for name, closeFirst := range map[string]bool{"the worker stops": false, "the broker closes before it": true} {
		t.Run(name, func(t *testing.T) {
			cfg := rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 1, Concurrency: 1}
			publisher, worker := open(t, cfg), open(t, cfg)
			refuse := func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
				verdicts := make([]*chat.Error, len(batch))
				for i := range batch {
					if batch[i].Body == "0" {
						verdicts[i] = chat.NotFound("conversation")
					}
				}
				return verdicts, nil
			}
			publish(t, publisher, 0)
			begun, goOn := make(chan struct{}), make(chan struct{})
			begin := sync.OnceFunc(func() { close(begun) })
			stop := consume(t, worker, func(ctx context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
				begin()
				<-goOn
				return refuse(ctx, batch)
			})
			<-begun
			publish(t, publisher, 1)
			if closeFirst {
				if err := worker.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			go stop()
			eventually.True(t, "the stop has begun", func() bool { return worker.Consuming(t.Context()) != nil })
			close(goOn)
			stop()
			store, err := rabbitmq.OpenDeadLetterStore(t.Context(), cfg.URLs, cfg.Partitions)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			count := func() (n int) {
				if err := store.Each(func(rabbitmq.DeadLetter) bool { n++; return true }); err != nil {
					t.Fatal(err)
				}
				return n
			}
			if n := count(); !closeFirst && n != 1 {
				t.Errorf("%d dead letters when the worker has stopped", n)
			}
			consume(t, publisher, refuse)
			eventually.True(t, "the dead letter", func() bool { return count() == 1 })
		})
	}
}

package rabbitmq_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/brokertest"
	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func open(t *testing.T, cfg rabbitmq.Config) *rabbitmq.Broker {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	b, err := rabbitmq.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(eventually.Context(t)); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestConformance(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	brokertest.Run(t, brokertest.Harness{
		Open: func(t *testing.T, maxQueued int) broker.Broker {
			return open(t, rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 4, MaxQueued: maxQueued})
		},
	})
}

// What the broker has confirmed is counted, with the submissions that went
// together; what it refuses is not.
func TestPublishedIsCounted(t *testing.T) {
	t.Parallel()
	b := open(t, rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 1})
	const submissions = 200
	confirmed := make(chan error, submissions)
	for n := range submissions {
		if err := b.Publish(submission(1, n), func(err error) { confirmed <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range submissions {
		if err := eventually.Receive(t, "the confirmation", confirmed); err != nil {
			t.Fatal(err)
		}
	}
	// They came while the first was under way, so they did not go one by one.
	if batches, items := b.Published(); items != submissions || batches < 1 || batches > submissions/2 {
		t.Errorf("%d batches with %d submissions", batches, items)
	}
}

// Workers join and leave under traffic that is too much for one of them: partitions
// move to the new ones and back, and nothing is lost or out of order.
func TestWorkersJoinAndLeave(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	cfg := rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 8}
	publisher := open(t, cfg)
	r := newRecorder()
	r.far = 300 * time.Millisecond // in which more than fullBatch messages come
	tr := startTraffic(t, publisher, conversations(1, 16)...)
	var stops []func()
	for i := range 3 {
		name := fmt.Sprint("worker ", i)
		stops = append(stops, r.consume(t.Context(), t, name, open(t, cfg)))
		eventually.True(t, name+" has work", func() bool { return r.handledBy(name) > 100 })
	}
	before := r.handledBy("worker 0")
	eventually.True(t, "the first still has work", func() bool { return r.handledBy("worker 0") > before+100 })
	stops[0]()
	stops[2]()
	before = r.handledBy("worker 1")
	eventually.True(t, "the remaining one handles everything", func() bool { return r.handledBy("worker 1") > before+500 })
	r.check(t, tr.stopAndCount())
}

// Without its queue, a message is not confirmed.
func TestMissingQueueConfirmsNothing(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1})
	deleteQueue(t, url, "hikyaku.messages.0")
	publish := func(n int) error {
		answer := make(chan error, 1)
		if err := b.Publish(submission(1, n), func(err error) { answer <- err }); err != nil {
			return err
		}
		return <-answer
	}
	if err := publish(0); err == nil {
		t.Error("a message without a queue was confirmed")
	}
	eventually.True(t, "the queue is declared again", func() bool { return publish(1) == nil })
}

// withRawChannel calls do with a channel of a connection of its own.
func withRawChannel(t *testing.T, url string, do func(*amqp.Channel) error) error {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return do(ch)
}

// deleteQueue deletes a queue while the broker uses it.
func deleteQueue(t *testing.T, url, queue string) {
	t.Helper()
	if err := withRawChannel(t, url, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A worker whose queue was deleted consumes from the one that is declared after it.
func TestRedeclaredQueueIsConsumed(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 2})
	got := make(chan string, 10)
	consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		for _, d := range batch {
			got <- d.Body
		}
		return make([]*chat.Error, len(batch)), nil
	})
	publish(t, b, 0)
	<-got
	for p := range 2 {
		deleteQueue(t, url, fmt.Sprint("hikyaku.messages.", p))
	}
	eventually.True(t, "the queue is declared again", func() bool {
		answer := make(chan error, 1)
		err := b.Publish(submission(1, 1), func(err error) { answer <- err })
		if err == nil {
			err = <-answer
		}
		return err == nil
	})
	eventually.Receive(t, "what was accepted is handled", got)
}

// An error of Open is one line with the setting and the cure.
func TestCannotOpen(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	node := stacktest.RabbitMQ(t)
	other := stacktest.VHost(t)
	conn, err := amqp.Dial(other)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("hikyaku.messages.0", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	port, err := stack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ url, want string }{
		"no address":     {"http://guest:secret@x", "looks like amqp://"},
		"nobody listens": {fmt.Sprintf("amqp://guest:secret@127.0.0.1:%d/", port), "does not answer"},
		"password":       {stacktest.WithCredentials(node.URL(), "guest", "secret"), "check user and password"},
		"virtual host":   {node.URL() + "absent", "add_vhost"},
		"other settings": {other, "exists with other settings"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URLs: []string{c.url}})
			if err == nil {
				_ = b.Close(t.Context())
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), "--broker") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %q; want one line with --broker and %q", err, c.want)
			}
		})
	}
}

package rabbitmq_test

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue/notifyqueuetest"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestNotifyQueue(t *testing.T) {
	t.Parallel()
	notifyqueuetest.Run(t, func(t *testing.T) (notifyqueue.Queue, func() notifyqueue.Queue) {
		cfg := rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 1}
		return open(t, cfg).NotifyQueue(), func() notifyqueue.Queue { return open(t, cfg).NotifyQueue() }
	})
}

// A lost connection loses no jobs, and publisher and consumer reconnect.
func TestNotifyQueueReconnects(t *testing.T) {
	t.Parallel()
	url := stacktest.VHost(t)
	q := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1}).NotifyQueue()
	r := notifyqueuetest.Receive(t, q, func(j notifyqueue.Job) bool { return j.Seq == 1 })
	q.Publish([]notifyqueue.Job{notifyqueuetest.Job(1)})
	r.Wait(1)
	vhost := url[strings.LastIndexByte(url, '/')+1:]
	if err := stacktest.RabbitMQ(t).CloseConnections(t.Context(), vhost); err != nil {
		t.Fatal(err)
	}
	q.Publish([]notifyqueue.Job{notifyqueuetest.Job(2)})
	eventually.True(t, "the next job is delivered, and the unacknowledged one is redelivered", func() bool {
		again, next := 0, 0
		for _, j := range r.Wait(0) {
			switch j.Seq {
			case 1:
				again++
			case 2:
				next++
			}
		}
		return again >= 2 && next >= 1
	})
}

// A queue that was deleted is declared again by publisher and consumer.
func TestNotifyQueueIsDeclaredAgain(t *testing.T) {
	t.Parallel()
	url := stacktest.VHost(t)
	q := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1}).NotifyQueue()
	r := notifyqueuetest.Receive(t, q, nil)
	q.Publish([]notifyqueue.Job{notifyqueuetest.Job(1)})
	r.Wait(1)
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDelete("hikyaku.push", false, false, false); err != nil {
		t.Fatal(err)
	}
	q.Publish([]notifyqueue.Job{notifyqueuetest.Job(2)})
	r.Wait(2)
}

// Messages that cannot be decoded do not block the queue.
func TestMalformedJobs(t *testing.T) {
	t.Parallel()
	url := stacktest.VHost(t)
	q := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1}).NotifyQueue()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"", "nonsense", "\x01\x01"} {
		if err := ch.PublishWithContext(t.Context(), "", "hikyaku.push", true, false, amqp.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	r := notifyqueuetest.Receive(t, q, nil)
	q.Publish([]notifyqueue.Job{notifyqueuetest.Job(1)})
	if got := r.Wait(1); got[0].Seq != 1 {
		t.Errorf("%+v", got)
	}
}

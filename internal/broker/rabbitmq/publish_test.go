package rabbitmq

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// Queues without a leader confirm nothing. However few batches may be on their way
// at once, they stop no other partition.
func TestHungQueuesStopNoOthers(t *testing.T) {
	t.Parallel() // it has a virtual host of its own
	const partitions, hung = 3, 2
	url := stacktest.VHost(t)
	vhost := url[strings.LastIndexByte(url, '/')+1:]
	b, err := Open(t.Context(), Config{URLs: []string{url}, Partitions: partitions, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(eventually.Context(t)); err != nil {
			t.Error(err)
		}
	})
	b.publishWindow.mu.Lock()
	b.publishWindow.max, b.publishWindow.limit, b.publishWindow.headroom = 1, 1, 0
	b.publishWindow.mu.Unlock()
	// One conversation of each partition.
	var of [partitions]chat.ConversationID
	for c, found := chat.ConversationID(1), 0; found < partitions; c++ {
		if p := broker.Partition(c, partitions); of[p] == 0 {
			of[p] = c
			found++
		}
	}
	// publish returns what is answered. A partition whose batch has just failed
	// refuses for a moment.
	publish := func(partition int) <-chan error {
		t.Helper()
		answer := make(chan error, 1)
		eventually.Nil(t, "it is queued", func() error {
			return b.Publish(message(of[partition], "hello"), func(err error) { answer <- err })
		})
		return answer
	}
	confirmed := func(partition int) error { return eventually.Receive(t, "the broker answers", publish(partition)) }
	for p := range partitions { // opens their channels
		if err := confirmed(p); err != nil {
			t.Fatal(err)
		}
	}
	node := stacktest.RabbitMQ(t)
	for p := range hung {
		if err := node.SuspendQueue(t.Context(), vhost, queueName(p)); err != nil {
			t.Fatal(err)
		}
	}
	// At first they are in line before the others, each for a second; later they do
	// not stand in line.
	for _, endAtMost := range []int32{hung - 1, 0} {
		answers := make(chan error, hung)
		var answered atomic.Int32
		for p := range hung {
			answer := publish(p)
			go func() {
				err := <-answer
				answered.Add(1)
				answers <- err
			}()
		}
		for range 20 {
			if err := confirmed(hung); err != nil {
				t.Errorf("another partition: %v", err)
			}
		}
		if n := answered.Load(); n > endAtMost {
			t.Errorf("another partition has waited for %d that hang, of %d at most", n, endAtMost)
		}
		for range hung {
			if err := eventually.Receive(t, "a publish to a queue that hangs ends", answers); err == nil {
				t.Error("a publish to a queue that hangs was confirmed")
			}
		}
	}
	for p := range hung {
		if err := node.ResumeQueue(t.Context(), vhost, queueName(p)); err != nil {
			t.Fatal(err)
		}
	}
	for p := range hung {
		eventually.Nil(t, "a queue that hangs no more takes messages", func() error { return confirmed(p) })
	}
}

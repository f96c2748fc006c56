package rabbitmq

import (
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// prefetch returns how many AMQP messages of each partition a worker may have that are
// not acknowledged: with few partitions more of each, since those of a conversation that
// hangs are among them.
func prefetch(partitions int) int { return max(32, 512/partitions) }

// subscription is this worker's consumer on the queue of one partition, either
// the active one or one that stands by. It passes what it receives to a
// batcher. One goroutine uses it.
type subscription struct {
	conn      *amqp.Connection
	partition int
	batcher   *batcher
	notBefore time.Time // of the next subscribe

	ch       *amqp.Channel // nil before subscribe and after close; not used while closing
	receiver sync.WaitGroup
	closed   chan struct{} // closed when the close in the background is over; nil when there was none
}

// closing reports whether the subscription is being closed in the background.
func (s *subscription) closing() bool {
	if s.closed == nil {
		return false
	}
	select {
	case <-s.closed:
		return false
	default:
		return true
	}
}

// active reports whether the subscription has a consumer on the queue.
func (s *subscription) active() bool { return !s.closing() && s.ch != nil && !s.ch.IsClosed() }

// yield gives an active subscription up until a time, so that another worker
// becomes the active consumer. It does not wait for the batch in progress.
func (s *subscription) yield(until time.Time) {
	if s.active() {
		s.notBefore = until
		s.closeInBackground()
	}
}

// ensure subscribes unless the subscription is active, is being closed or has
// yielded. It waits for no batch in progress.
func (s *subscription) ensure(now time.Time) error {
	switch {
	case s.closing(), s.active(), now.Before(s.notBefore):
		return nil
	case s.ch != nil:
		s.closeInBackground() // so that nothing of a lost channel remains in the batcher
		return nil
	}
	return s.subscribe()
}

// closeInBackground closes an open subscription. [subscription.close] waits for it.
func (s *subscription) closeInBackground() {
	closed := make(chan struct{})
	s.closed = closed
	go func() {
		defer close(closed)
		s.closeChannel()
	}()
}

func (s *subscription) subscribe() error {
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := ch.Qos(s.batcher.Prefetch, 0, false); err != nil {
		return fmt.Errorf("set the prefetch of a channel: %w", err)
	}
	deliveries, err := ch.Consume(queueName(s.partition), "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume from %s: %w", queueName(s.partition), err)
	}
	s.ch = ch
	s.receiver.Go(func() {
		for d := range deliveries {
			s.batcher.add(ch, d)
		}
		// The broker may have cancelled only the consumer, because the queue
		// was deleted: the channel would stay open and deliver nothing.
		_ = ch.Close()
	})
	return nil
}

// close ends the consumer. The batch in progress is finished and acknowledged
// first; what waits in the batcher goes back to its place in the queue.
func (s *subscription) close() {
	if s.closed != nil {
		<-s.closed
	}
	s.closeChannel()
}

func (s *subscription) closeChannel() {
	if s.ch == nil {
		return
	}
	s.batcher.drain(s.ch)
	_ = s.ch.Close()
	s.receiver.Wait()
	s.batcher.forget(s.ch)
	s.ch = nil
}

// closeAll closes subscriptions side by side.
func closeAll(subscriptions []*subscription) {
	var closing sync.WaitGroup
	for _, s := range subscriptions {
		closing.Go(s.close)
	}
	closing.Wait()
}

package rabbitmq

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lane is the way of one partition's batches by one uplink. One goroutine uses it.
//
// In RabbitMQ a channel makes itself known to a queue with the first message that
// it publishes to it, and waits for the leader that the queue had when the channel
// was opened; later ones it follows. So a lane whose channel is new has a copy of
// what goes by another one: when it is needed, its channel is known.
type lane struct {
	uplink  *uplink
	channel *confirmChannel
	known   bool                       // the queue has confirmed something on the channel
	copied  *amqp.DeferredConfirmation // of the copy that has no answer yet; nil when there is none
}

// rank orders lanes: the lowest is the best to publish on.
func (l *lane) rank() int {
	s := l.uplink.session.Load()
	switch {
	case s == nil:
		return 2
	case l.known && l.channel.usable(s):
		return 0
	}
	return 1
}

// open has the lane use a channel that is usable: a new one unless the old one is.
func (l *lane) open(b *Broker) error {
	s := l.uplink.session.Load()
	if s == nil {
		return errUnavailable
	}
	if l.channel.usable(s) {
		return nil
	}
	c, err := b.openConfirmChannel(s)
	if err != nil {
		return err
	}
	*l = lane{uplink: l.uplink, channel: c}
	return nil
}

func (l *lane) send(ctx context.Context, p *partition, batch []byte) (*amqp.DeferredConfirmation, error) {
	return l.channel.ch.PublishWithDeferredConfirmWithContext(ctx, exchangeMessages, routingKey(p.number), true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/vnd.hikyaku.batch", Body: batch,
	})
}

// introduce publishes a copy of a batch when the lane's channel is not known to
// the queue yet. It reports whether it did. It does not wait for the answer, which
// counts when the next batch comes.
func (l *lane) introduce(ctx context.Context, b *Broker, p *partition, batch []byte) bool {
	if l.copied != nil {
		select {
		case <-l.copied.Done():
			l.settle() // of a missing queue who waits for an answer sees to it
		default:
			return false
		}
	}
	return l.rank() == 1 && l.copy(ctx, b, p, batch)
}

// copy publishes a copy of a batch. It reports whether it did.
func (l *lane) copy(ctx context.Context, b *Broker, p *partition, batch []byte) bool {
	if l.open(b) != nil {
		return false
	}
	var err error
	l.copied, err = l.send(ctx, p, batch)
	return err == nil
}

// settle takes the answer to the copy, which is there. It reports whether a queue has
// the copy.
func (l *lane) settle() (kept bool) {
	l.known = l.copied.Acked()
	l.copied = nil
	kept = l.known
	select {
	case <-l.channel.returns: // no queue
		kept = false
	default:
	}
	if !l.known {
		l.channel.discard(minChannelAge)
	}
	return kept
}

// publish publishes a batch and waits for its confirmation, for confirmTimeout at
// most. After each patience without one, one of the other lanes gets a copy, whose
// confirmation does as well. lost says that the uplink is or was lost, so that
// another one may do.
func (l *lane) publish(ctx context.Context, b *Broker, p *partition, batch []byte, wait *confirmWait) (lost bool, err error) {
	if err := l.open(b); err != nil {
		return true, err
	}
	c := l.channel
	confirmation, err := l.send(ctx, p, batch)
	if err != nil {
		return true, errOutcomeUnknown
	}
	// A refusal of this one does not say that nobody has the batch.
	refusal := func(err error) error { return err }
	unknown := func(error) error { return errOutcomeUnknown }
	for _, other := range p.lanes {
		if other != l && other.introduce(ctx, b, p, batch) {
			refusal = unknown
		}
	}
	var second *lane // that has a copy which is waited for
	var secondDone <-chan struct{}
	wait.begin()
	for confirmed := false; !confirmed; {
		select {
		case <-confirmation.Done():
			confirmed = true
		case <-c.session.lost:
			return true, errOutcomeUnknown
		case <-secondDone:
			if second.settle() {
				c.discard(0) // the next batch goes by the lane that confirms
				return false, nil
			}
			second, secondDone = nil, nil
		case <-wait.timer.C:
			if wait.over() {
				b.log.Error("RabbitMQ has not confirmed a batch; is a majority of its nodes up?", "partition", p.number, "after", confirmTimeout)
				c.discard(0) // a late answer must not be taken for the next batch's
				return false, errOutcomeUnknown
			}
			wait.begin()
			for _, other := range p.lanes {
				if other == l || second != nil || !other.copy(ctx, b, p, batch) {
					continue
				}
				second, secondDone, refusal = other, other.copied.Done(), unknown
				b.log.Warn("a RabbitMQ node has not confirmed a batch, and another node gets it as well; is the first one cut off from the others?",
					"node", c.session.conn.RemoteAddr(), "partition", p.number, "after", patience)
			}
		}
	}
	select {
	case _, ok := <-c.returns:
		if !ok {
			return true, errOutcomeUnknown // the channel is gone
		}
		b.log.Error("RabbitMQ has no queue for a partition; was it deleted?", "queue", queueName(p.number))
		// The next connection declares it again.
		_ = c.session.conn.CloseDeadline(time.Now().Add(time.Second))
		return false, refusal(errUnavailable)
	default:
	}
	switch {
	case confirmation.Acked():
		l.known = true
		return false, nil
	case c.ch.IsClosed():
		return true, errOutcomeUnknown // the library makes a nack of every confirmation that is still missing
	}
	// The queue is full, or it had no leader when this channel first used it: up
	// to 3.10 such a channel is refused for ever, and a new one is not.
	c.discard(minChannelAge)
	return false, refusal(errBrokerFull)
}

package rabbitmq

import (
	"context"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// uplink is a connection for publishing, opened again whenever it is lost. When
// there are several nodes there are two, to different ones: a node that hangs is
// known for dead after maxSilence, and then everything goes by the other uplink,
// without a connection, a channel or a queue having to be opened first. Until
// RabbitMQ has noticed itself (net_ticktime), these wait for the node that hangs. A
// node that is cut off from the others answers heartbeats and confirms nothing: what
// it has not confirmed after [patience] goes by the other uplink as well.
type uplink struct {
	session atomic.Pointer[session] // nil while it is unavailable
}

// session is a connection that publishes use until it is lost.
type session struct {
	conn *amqp.Connection
	lost chan struct{} // closed when the session ends
}

// newSession declares the topology on a connection and returns its session.
func (b *Broker) newSession(conn *amqp.Connection) (*session, error) {
	if err := declareTopology(conn, b.cfg.Partitions, b.log); err != nil {
		return nil, err
	}
	return &session{conn: conn, lost: make(chan struct{})}, nil
}

// serveSession accepts publishes on an uplink until the connection is lost or ctx
// ends.
func (b *Broker) serveSession(ctx context.Context, u *uplink, conn *amqp.Connection) error {
	s := u.session.Load()
	if s == nil || s.conn != conn { // Open made the session of the first connection
		var err error
		if s, err = b.newSession(conn); err != nil {
			return err
		}
		u.session.Store(s)
	}
	connectionLost := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	blocked := false
	setBlocked := func(now bool) {
		if now != blocked {
			blocked = now
			b.blocked.Add(map[bool]int32{true: 1, false: -1}[now])
		}
	}
	defer func() {
		u.session.Store(nil)
		setBlocked(false)
		close(s.lost)
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-connectionLost:
			return closeError(err)
		case state, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			setBlocked(state.Active)
			if state.Active {
				b.log.Warn("RabbitMQ blocks publishes", "reason", state.Reason)
			} else {
				b.log.Info("RabbitMQ accepts publishes again")
			}
		}
	}
}

// closeError returns the error that the library reported for the end of a
// connection or channel. The library reports nil for one that was closed on
// purpose.
func closeError(err *amqp.Error) error {
	if err == nil {
		return errOutcomeUnknown
	}
	return err
}

// connected reports whether there is a session.
func (b *Broker) connected() bool { return b.currentSession(nil) != nil }

// currentSession returns a session, nil when there is none: another one than avoid,
// where something has failed, if there is another one.
func (b *Broker) currentSession(avoid *session) (current *session) {
	for _, u := range b.uplinks {
		if s := u.session.Load(); s != nil && (current == nil || current == avoid) {
			current = s
		}
	}
	return current
}

// confirmTimeout is how long to wait for a confirmation on a session, where that of
// a failure is to use another one, if there is another one.
func (b *Broker) confirmTimeout(s *session) time.Duration {
	if b.currentSession(s) != s {
		return patience
	}
	return confirmTimeout
}

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

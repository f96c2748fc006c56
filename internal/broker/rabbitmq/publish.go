package rabbitmq

import (
	"context"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// entry is a submission that waits to be published, or is being published.
type entry struct {
	submission chat.Submission
	confirm    func(error)
}

// partition gathers the next batch while the previous one is being published.
// There is one batch at a time, so that order holds whatever is lost.
type partition struct {
	number  int
	queue   *batching.Queue[entry]
	channel *confirmChannel // used by publishLoop only
	failing atomic.Bool     // a batch has failed, and what waited behind it is being refused
	suspect bool            // its last batch has failed; used by publishLoop only
}

// Publish implements [broker.Publisher].
func (b *Broker) Publish(s chat.Submission, confirm func(error)) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.closed:
		return errClosed
	case b.session == nil:
		return errUnavailable
	case b.blocked.Load():
		return errBrokerFull
	}
	p := b.partitions[broker.Partition(s.Conversation, len(b.partitions))]
	if p.failing.Load() {
		return errUnavailable
	}
	size := int64(len(s.Body))
	queued, bytes := b.queued.Add(1), b.bytes.Add(size)
	if queued > int64(b.cfg.MaxQueued) || bytes > int64(b.cfg.MaxBytes) {
		b.release(1, size)
		return errOverloaded
	}
	p.queue.Add(entry{submission: s, confirm: confirm})
	return nil
}

// take removes up to n waiting entries, oldest first, with bodies of about the
// given number of bytes.
func (p *partition) take(n, bytes int) []entry {
	return p.queue.TakeWhile(func(e *entry) bool {
		if n <= 0 || bytes <= 0 {
			return false
		}
		n--
		bytes -= len(e.submission.Body)
		return true
	})
}

func (b *Broker) release(n int, size int64) {
	b.bytes.Add(-size)
	if b.queued.Add(-int64(n)) == 0 {
		b.idle.Notify()
	}
}

// confirmAll calls the confirm functions of entries, which must not be empty.
func (b *Broker) confirmAll(entries []entry, err error) {
	size := int64(0)
	for _, e := range entries {
		size += int64(len(e.submission.Body))
		e.confirm(err)
	}
	b.release(len(entries), size)
}

// failAll is confirmAll for what may be no entries at all.
func (b *Broker) failAll(entries []entry, err error) {
	if len(entries) > 0 {
		b.confirmAll(entries, err)
	}
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

// serveSession accepts publishes until the connection is lost or ctx ends.
func (b *Broker) serveSession(ctx context.Context, conn *amqp.Connection) error {
	b.mu.RLock()
	s := b.session
	b.mu.RUnlock()
	if s == nil || s.conn != conn { // Open made the session of the first connection
		var err error
		if s, err = b.newSession(conn); err != nil {
			return err
		}
		b.setSession(s)
	}
	connectionLost := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	defer func() {
		b.setSession(nil)
		b.blocked.Store(false)
		close(s.lost)
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-connectionLost:
			return closeError(err)
		case state, ok := <-blocked:
			if !ok {
				blocked = nil
				continue
			}
			b.blocked.Store(state.Active)
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

func (b *Broker) setSession(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = s
}

func (b *Broker) currentSession() *session {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.session
}

// publishLoop publishes a partition's batches, one after the other, until ctx
// ends.
func (b *Broker) publishLoop(ctx context.Context, p *partition) {
	var buffer []byte
	for p.queue.Len() > 0 || p.queue.Ready().Wait(ctx) {
		slot, err := b.admit(ctx, p)
		if err != nil {
			return
		}
		// After the wait, so that what came meanwhile is in the batch as well.
		entries := p.take(b.cfg.MaxBatch, maxBatchBytes)
		if len(entries) == 0 {
			slot.release(0)
			continue
		}
		buffer = beginBatch(buffer[:0])
		for i := range entries {
			buffer = appendSubmission(buffer, &entries[i].submission)
		}
		began := time.Now()
		err = b.publishBatch(ctx, p, buffer)
		took := time.Since(began)
		if err != nil {
			took = 0
		}
		slot.release(took)
		p.suspect = err != nil
		if err == nil {
			b.confirmAll(entries, nil)
			continue
		}
		// What waits must not overtake the batch that failed: the senders of both
		// repeat their submissions, in order. Until all of them know, nothing that
		// is repeated early, or new, gets in between.
		p.failing.Store(true)
		b.confirmAll(entries, err)
		b.failAll(p.queue.Take(0), errUnavailable)
		p.failing.Store(false)
	}
}

// admit waits until a partition may publish a batch. One whose last batch has
// failed does not wait, and is not counted: it may have no leader, and hang again.
func (b *Broker) admit(ctx context.Context, p *partition) (*slot, error) {
	if p.suspect {
		return nil, ctx.Err()
	}
	return b.publishWindow.acquire(ctx)
}

// confirmChannel returns the partition's channel. It opens a new one when the
// old one is not usable any more.
func (b *Broker) confirmChannel(p *partition) (*confirmChannel, error) {
	s := b.currentSession()
	if s == nil {
		return nil, errUnavailable
	}
	if p.channel.usable(s) {
		return p.channel, nil
	}
	c, err := b.openConfirmChannel(s)
	if err != nil {
		return nil, err
	}
	p.channel = c
	return c, nil
}

// publishBatch publishes one AMQP message and waits until it is confirmed.
func (b *Broker) publishBatch(ctx context.Context, p *partition, batch []byte) error {
	c, err := b.confirmChannel(p)
	if err != nil {
		return err
	}
	confirmation, err := c.ch.PublishWithDeferredConfirmWithContext(ctx, exchangeMessages, routingKey(p.number), true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/vnd.hikyaku.batch", Body: batch,
	})
	if err != nil {
		return errOutcomeUnknown
	}
	timeout := time.NewTimer(confirmTimeout)
	defer timeout.Stop()
	select {
	case <-confirmation.Done():
	case <-c.session.lost:
		return errOutcomeUnknown
	case <-timeout.C:
		b.log.Error("RabbitMQ has not confirmed a batch; is a majority of its nodes up?", "partition", p.number, "after", confirmTimeout)
		c.discard(0) // a late answer must not be taken for the next batch's
		return errOutcomeUnknown
	}
	select {
	case _, ok := <-c.returns:
		if !ok {
			return errOutcomeUnknown // the channel is gone
		}
		b.log.Error("RabbitMQ has no queue for a partition; was it deleted?", "queue", queueName(p.number))
		// The next connection declares it again.
		_ = c.session.conn.CloseDeadline(time.Now().Add(time.Second))
		return errUnavailable
	default:
	}
	switch {
	case confirmation.Acked():
		return nil
	case c.ch.IsClosed():
		return errOutcomeUnknown // the library makes a nack of every confirmation that is still missing
	}
	// The queue is full, or it had no leader when this channel first used it: up
	// to 3.10 such a channel is refused for ever, and a new one is not.
	c.discard(minChannelAge)
	return errBrokerFull
}

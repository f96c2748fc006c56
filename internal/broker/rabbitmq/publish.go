package rabbitmq

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

type entry struct {
	submission chat.Submission
	confirm    func(error)
}

// partition gathers what is to be published next while its last batch is on
// its way. One batch at a time, so that order holds whatever is lost.
type partition struct {
	number int
	queue  *batching.Queue[entry]
	outlet *outlet // of send alone
}

// Publish implements [broker.Publisher].
func (b *Broker) Publish(s chat.Submission, confirm func(error)) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.closed:
		return errStop
	case b.session == nil:
		return errAway
	case b.blocked.Load():
		return errFull
	}
	size := int64(len(s.Body))
	queued, bytes := b.queued.Add(1), b.bytes.Add(size)
	if queued > int64(b.cfg.MaxQueued) || bytes > int64(b.cfg.MaxBytes) {
		b.release(1, size)
		return errBusy
	}
	b.partitions[broker.Partition(s.Conversation, len(b.partitions))].queue.Add(entry{submission: s, confirm: confirm})
	return nil
}

// take removes up to n waiting entries, oldest first, of about so many bytes.
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

// answer tells the publishers of entries what became of them.
func (b *Broker) answer(entries []entry, err error) {
	size := int64(0)
	for _, e := range entries {
		size += int64(len(e.submission.Body))
		e.confirm(err)
	}
	b.release(len(entries), size)
}

func (b *Broker) fail(entries []entry, err error) {
	if len(entries) > 0 {
		b.answer(entries, err)
	}
}

// session is a connection to publish on, for as long as it lasts.
type session struct {
	conn *amqp.Connection
	lost chan struct{} // closed when it is over
}

// begin prepares a connection for publishing.
func (b *Broker) begin(conn *amqp.Connection) (*session, error) {
	if err := declare(conn, b.cfg.Partitions, b.log); err != nil {
		return nil, err
	}
	return &session{conn: conn, lost: make(chan struct{})}, nil
}

// publishOn lets publishes in until the connection is lost.
func (b *Broker) publishOn(ctx context.Context, conn *amqp.Connection) error {
	b.mu.RLock()
	s := b.session
	b.mu.RUnlock()
	if s == nil || s.conn != conn { // not the first one
		var err error
		if s, err = b.begin(conn); err != nil {
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
			return asError(err)
		case state, ok := <-blocked:
			if !ok {
				blocked = nil
				continue
			}
			b.blocked.Store(state.Active)
			if state.Active {
				b.log.Warn("RabbitMQ takes no messages for now", "reason", state.Reason)
			} else {
				b.log.Info("RabbitMQ takes messages again")
			}
		}
	}
}

// asError makes an error of what the library reports: nothing at all when the
// end was wished for.
func asError(err *amqp.Error) error {
	if err == nil {
		return errUnknown
	}
	return err
}

func (b *Broker) setSession(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = s
}

func (b *Broker) current() *session {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.session
}

// send publishes a partition's batches, one after the other.
func (b *Broker) send(ctx context.Context, p *partition) {
	var buffer []byte
	for p.queue.Len() > 0 || p.queue.Ready().Wait(ctx) {
		if b.window.enter(ctx) != nil {
			return
		}
		// After the wait: whatever gathered meanwhile goes out together.
		entries := p.take(b.cfg.MaxBatch, maxBatchBytes)
		if len(entries) == 0 {
			b.window.leave(0)
			continue
		}
		buffer = beginBatch(buffer[:0])
		for i := range entries {
			buffer = appendSubmission(buffer, &entries[i].submission)
		}
		began := time.Now()
		err := b.publishBatch(ctx, p, buffer)
		took := time.Since(began)
		if err != nil {
			took = 0
		}
		b.window.leave(took)
		b.answer(entries, err)
		if err != nil {
			// What waits behind must not overtake: the senders of both
			// will come again, in their order.
			b.fail(p.queue.Take(0), errAway)
		}
	}
}

// outlet is a partition's channel on a connection. Each partition has its own,
// so that what goes wrong with one does not touch the others.
type outlet struct {
	session *session
	ch      *amqp.Channel
	// returns are messages that the broker had no queue for. It sends one
	// back before it confirms it, so that the buffer has it by then.
	returns chan amqp.Return
	opened  time.Time
}

// outlet gives the partition's channel, a new one where the old one is gone.
func (b *Broker) outlet(p *partition) (*outlet, error) {
	s := b.current()
	if s == nil {
		return nil, errAway
	}
	if o := p.outlet; o != nil && o.session == s && !o.ch.IsClosed() {
		return o, nil
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, errAway
	}
	if err := ch.Confirm(false); err != nil {
		return nil, errAway
	}
	p.outlet = &outlet{session: s, ch: ch, returns: ch.NotifyReturn(make(chan amqp.Return, 4)), opened: time.Now()}
	return p.outlet, nil
}

// publishBatch sends one AMQP message and waits until it is kept.
func (b *Broker) publishBatch(ctx context.Context, p *partition, batch []byte) error {
	o, err := b.outlet(p)
	if err != nil {
		return err
	}
	confirmation, err := o.ch.PublishWithDeferredConfirmWithContext(ctx, exchangeMessages, keyOf(p.number), true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/vnd.hikyaku.batch", Body: batch,
	})
	if err != nil {
		return errUnknown
	}
	timeout := time.NewTimer(confirmTimeout)
	defer timeout.Stop()
	select {
	case <-confirmation.Done():
	case <-o.session.lost:
		return errUnknown
	case <-timeout.C:
		b.log.Error("RabbitMQ has not confirmed a batch; is a majority of its nodes up?", "partition", p.number, "after", confirmTimeout)
		o.renew(0) // a late answer must not be taken for the next batch's
		return errUnknown
	}
	select {
	case _, ok := <-o.returns:
		if !ok {
			return errUnknown // the channel is gone
		}
		b.log.Error("RabbitMQ has no queue for a partition; was it deleted?", "queue", queueOf(p.number))
		// The next connection makes it again.
		_ = o.session.conn.CloseDeadline(time.Now().Add(time.Second))
		return errAway
	default:
	}
	switch {
	case confirmation.Acked():
		return nil
	case o.ch.IsClosed():
		return errUnknown // the library answers for a broker that is gone
	}
	// The queue is full; or this channel met it while it had no leader: up to
	// 3.10 such a channel refuses for ever, and a new one does not.
	o.renew(renewEvery)
	return errFull
}

// renewEvery bounds how often a channel that refuses is replaced.
const renewEvery = 500 * time.Millisecond

// renew has a new channel opened for the next batch, unless this one is newer
// than the given age.
func (o *outlet) renew(age time.Duration) {
	if time.Since(o.opened) >= age {
		go func() { _ = o.ch.Close() }() // it waits for an answer
		o.session = nil
	}
}

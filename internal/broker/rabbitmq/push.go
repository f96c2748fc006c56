package rabbitmq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

const (
	// maxPushes is how many jobs may wait here for the broker, 20 MiB at most.
	maxPushes = 16_384
	// maxPushBatch ends a batch of jobs, in bytes.
	maxPushBatch = 64 << 10
	// gatherPushes is how long jobs are gathered for one AMQP message. The
	// pushers wait for longer than that anyway, and get few large messages in
	// place of many small ones.
	gatherPushes = 100 * time.Millisecond
	// pushPrefetch is how many batches a pusher may have that are not done.
	pushPrefetch = 256
	// flushPushes bounds how long a stop waits for jobs.
	flushPushes = 2 * time.Second
	pushType    = "application/vnd.hikyaku.push"
)

// Pushes is the queue of notifications of a cluster. See [Broker.Pushes].
type Pushes struct {
	b       *Broker
	wake    batching.Signal
	closing chan struct{}
	closed  chan struct{} // when closing is over
	outlet  *outlet       // of send alone

	mu      sync.Mutex
	waiting []notifyqueue.Job
	dropped int // since the last batch
}

var _ notifyqueue.Queue = (*Pushes)(nil)

func newPushes(b *Broker) *Pushes {
	return &Pushes{b: b, wake: batching.NewSignal(), closing: make(chan struct{}), closed: make(chan struct{})}
}

// Pushes is the queue of notifications. It ends with the broker.
func (b *Broker) Pushes() *Pushes { return b.pushes }

// pushSettings are those of the queue of notifications. Jobs are worth nothing
// when they are old: a full queue drops the oldest.
var pushSettings = amqp.Table{amqp.QueueMaxLenBytesArg: int64(maxPushBytes)}

// Publish implements [notifyqueue.Publisher].
func (p *Pushes) Publish(jobs []notifyqueue.Job) {
	if len(jobs) == 0 {
		return
	}
	p.mu.Lock()
	p.waiting = append(p.waiting, jobs...)
	if n := len(p.waiting) - maxPushes; n > 0 {
		p.waiting = p.waiting[n:]
		p.dropped += n
	}
	p.mu.Unlock()
	p.wake.Notify()
}

// take encodes waiting jobs, oldest first, of about maxPushBatch bytes.
func (p *Pushes) take(buffer []byte) (batch []byte, jobs, dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch = append(buffer[:0], pushVersion)
	for jobs < len(p.waiting) && len(batch) < maxPushBatch {
		batch = appendJob(batch, &p.waiting[jobs])
		p.waiting[jobs] = notifyqueue.Job{} // its texts and lists
		jobs++
	}
	if p.waiting = p.waiting[jobs:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	dropped, p.dropped = p.dropped, 0
	return batch, jobs, dropped
}

// send publishes what gathers until the broker is closed.
func (p *Pushes) send(ctx context.Context) {
	defer close(p.closed)
	var buffer []byte
	for {
		stopping := false
		select {
		case <-p.wake:
		case <-p.closing:
			stopping = true
		}
		if !stopping {
			select {
			case <-time.After(gatherPushes):
			case <-p.closing:
			}
		}
		for {
			batch, jobs, dropped := p.take(buffer)
			if buffer = batch; jobs == 0 {
				break
			}
			if dropped > 0 {
				p.b.log.Warn("RabbitMQ did not take notifications in time; the oldest are dropped", "dropped", dropped)
			}
			if !p.keep(ctx, batch, jobs) {
				return
			}
		}
		if stopping {
			return
		}
	}
}

// keep publishes a batch until the broker has it; false when it is to stop.
func (p *Pushes) keep(ctx context.Context, batch []byte, jobs int) bool {
	retry := backoff.Backoff{InitialInterval: firstBackoff, MaxInterval: lastBackoff}
	for {
		err := p.publish(ctx, batch)
		if err == nil {
			return true
		}
		select {
		case <-p.closing:
			p.b.log.Warn("notifications are lost: RabbitMQ did not take them before the stop", "jobs", jobs, "error", err)
			return false
		case <-time.After(retry.Next()):
		}
	}
}

// publish sends one AMQP message and waits until it is kept.
func (p *Pushes) publish(ctx context.Context, batch []byte) error {
	o, err := p.open()
	if err != nil {
		return err
	}
	if p.b.blocked.Load() {
		return errFull
	}
	confirmation, err := o.ch.PublishWithDeferredConfirmWithContext(ctx, "", queuePush, true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: pushType, Body: batch,
	})
	if err != nil {
		o.renew(0)
		return errUnknown
	}
	timeout := time.NewTimer(confirmTimeout)
	defer timeout.Stop()
	select {
	case <-confirmation.Done():
	case <-o.session.lost:
		return errUnknown
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		o.renew(0)
		return errUnknown
	}
	select {
	case <-o.returns:
		o.renew(0) // a new channel makes the queue that is missing
		return errAway
	default:
	}
	if !confirmation.Acked() {
		o.renew(renewEvery)
		return errFull
	}
	return nil
}

// open gives the channel, a new one where the old one is gone.
func (p *Pushes) open() (*outlet, error) {
	s := p.b.current()
	if s == nil {
		return nil, errAway
	}
	if o := p.outlet; o != nil && o.session == s && !o.ch.IsClosed() {
		return o, nil
	}
	if err := declareQueue(s.conn, queuePush, pushSettings, p.b.log); err != nil {
		return nil, err
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

// close publishes what waits, unless that takes too long.
func (p *Pushes) close(ctx context.Context) {
	close(p.closing)
	select {
	case <-p.closed:
	case <-ctx.Done():
	case <-time.After(flushPushes):
	}
}

// Consume implements [notifyqueue.Consumer].
func (p *Pushes) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	p.b.consumers.Add(1)
	defer p.b.consumers.Add(-1)
	supervise(ctx, p.b.cfg.URLs, "pusher", p.b.log, nil, func(ctx context.Context, conn *amqp.Connection) error {
		return p.consumeOn(ctx, conn, handle)
	})
	return nil
}

func (p *Pushes) consumeOn(ctx context.Context, conn *amqp.Connection, handle notifyqueue.Handler) error {
	if err := declareQueue(conn, queuePush, pushSettings, p.b.log); err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := ch.Qos(pushPrefetch, 0, false); err != nil {
		return fmt.Errorf("bound a channel: %w", err)
	}
	lost := ch.NotifyClose(make(chan *amqp.Error, 1))
	deliveries, err := ch.Consume(queuePush, "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume from %s: %w", queuePush, err)
	}
	p.b.consuming.Add(1)
	defer p.b.consuming.Add(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, ok := <-deliveries:
			if !ok {
				return lostBy(lost)
			}
			p.hand(ctx, d, handle)
		}
	}
}

// lostBy is why a channel is gone.
func lostBy(lost <-chan *amqp.Error) error {
	select {
	case err := <-lost:
		return asError(err)
	default: // the broker ended the consumer alone: its queue is gone
		return errUnknown
	}
}

// hand gives a delivery to the handler.
func (p *Pushes) hand(ctx context.Context, d amqp.Delivery, handle notifyqueue.Handler) {
	done := func() {
		// When it fails the channel is gone, and the jobs come again.
		if err := d.Ack(false); err != nil && !errors.Is(err, amqp.ErrClosed) {
			p.b.log.Warn("notifications that were sent could not be acknowledged; they may be sent again", "error", err)
		}
	}
	jobs, err := decodeJobs(d.Body)
	if err != nil {
		p.b.log.Error("notifications in the queue cannot be read and are dropped", "error", err)
		done()
		return
	}
	handle(ctx, notifyqueue.Delivery{Jobs: jobs, Done: done})
}

// A batch of jobs is a version, and then each job: conversation, message, seq,
// sender and time as varints, the preview behind its length, and the users
// behind their number.
const pushVersion = 1

func appendJob(b []byte, j *notifyqueue.Job) []byte {
	b = binary.AppendUvarint(b, uint64(j.Conversation)) //nolint:gosec // ids are positive
	b = binary.AppendUvarint(b, uint64(j.Message))      //nolint:gosec // ids are positive
	b = binary.AppendUvarint(b, uint64(j.Seq))          //nolint:gosec // seqs are positive
	b = binary.AppendUvarint(b, uint64(j.Sender))       //nolint:gosec // ids are positive
	b = binary.AppendVarint(b, j.At.UnixMilli())
	b = varint.AppendBytes(b, j.Preview)
	b = binary.AppendUvarint(b, uint64(len(j.Users)))
	for _, user := range j.Users {
		b = binary.AppendUvarint(b, uint64(user)) //nolint:gosec // ids are positive
	}
	return b
}

// decodeJobs reads a batch.
func decodeJobs(b []byte) ([]notifyqueue.Job, error) {
	if len(b) == 0 || b[0] != pushVersion {
		return nil, fmt.Errorf("%w: it is not of version %d", errMalformed, pushVersion)
	}
	r := varint.NewReader(b[1:])
	var out []notifyqueue.Job
	for r.Len() > 0 {
		j := notifyqueue.Job{
			Conversation: chat.ConversationID(r.Positive()), Message: chat.MessageID(r.Positive()), Seq: r.Positive(), Sender: chat.UserID(r.Positive()),
			At: time.UnixMilli(r.Varint()).UTC(), Preview: string(r.Bytes()),
		}
		j.Users = make([]chat.UserID, r.Count())
		for i := range j.Users {
			j.Users[i] = chat.UserID(r.Positive())
		}
		if r.Failed() {
			return nil, errMalformed
		}
		out = append(out, j)
	}
	return out, nil
}

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
	// maxPendingJobs is how many jobs may wait in this process for the broker,
	// 20 MiB at most.
	maxPendingJobs = 16_384
	// maxJobBatchBytes is the size at which a batch of jobs ends.
	maxJobBatchBytes = 64 << 10
	// jobBatchDelay is how long jobs are gathered for one AMQP message. Notifiers
	// delay notifications for longer than that anyway, and receive a few large
	// messages instead of many small ones.
	jobBatchDelay = 100 * time.Millisecond
	// notifyPrefetch is how many unacknowledged batches a notifier may have.
	notifyPrefetch = 256
	// notifyCloseTimeout bounds how long close waits until jobs are published.
	notifyCloseTimeout  = 2 * time.Second
	jobBatchContentType = "application/vnd.hikyaku.push"
)

// NotifyQueue is the notification queue of a cluster. See [Broker.NotifyQueue].
type NotifyQueue struct {
	broker   *Broker
	ready    batching.Signal
	closing  chan struct{}
	sendDone chan struct{}   // closed when sendLoop has returned
	channel  *confirmChannel // used by sendLoop only
	avoid    *session        // the last one where a publish failed; used by sendLoop only

	mu      sync.Mutex
	pending []notifyqueue.Job
	dropped int // jobs, since the last batch
}

var _ notifyqueue.Queue = (*NotifyQueue)(nil)

func newNotifyQueue(b *Broker) *NotifyQueue {
	return &NotifyQueue{broker: b, ready: batching.NewSignal(), closing: make(chan struct{}), sendDone: make(chan struct{})}
}

// NotifyQueue returns the notification queue. It is closed with the broker.
func (b *Broker) NotifyQueue() *NotifyQueue { return b.notifyQueue }

// notifyQueueArgs are the arguments of the notification queue. Old jobs are
// worthless, so a full queue drops the oldest.
var notifyQueueArgs = amqp.Table{amqp.QueueMaxLenBytesArg: int64(maxNotifyQueueBytes)}

// Publish implements [notifyqueue.Publisher].
func (q *NotifyQueue) Publish(jobs []notifyqueue.Job) {
	if len(jobs) == 0 {
		return
	}
	q.mu.Lock()
	q.pending = append(q.pending, jobs...)
	if n := len(q.pending) - maxPendingJobs; n > 0 {
		q.pending = q.pending[n:]
		q.dropped += n
	}
	q.mu.Unlock()
	q.ready.Notify()
}

// take removes pending jobs, oldest first, and encodes them into a batch of about
// maxJobBatchBytes bytes. dropped is how many were dropped since the last call.
func (q *NotifyQueue) take(buffer []byte) (batch []byte, jobs, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch = append(buffer[:0], jobBatchVersion)
	for jobs < len(q.pending) && len(batch) < maxJobBatchBytes {
		batch = appendJob(batch, &q.pending[jobs])
		q.pending[jobs] = notifyqueue.Job{} // releases its texts and lists
		jobs++
	}
	if q.pending = q.pending[jobs:]; len(q.pending) == 0 {
		q.pending = nil
	}
	dropped, q.dropped = q.dropped, 0
	return batch, jobs, dropped
}

// sendLoop publishes batches of jobs until the queue is closed. It publishes what
// is pending then.
func (q *NotifyQueue) sendLoop(ctx context.Context) {
	defer close(q.sendDone)
	var buffer []byte
	for {
		stopping := false
		select {
		case <-q.ready:
		case <-q.closing:
			stopping = true
		}
		if !stopping {
			select {
			case <-time.After(jobBatchDelay):
			case <-q.closing:
			}
		}
		for {
			batch, jobs, dropped := q.take(buffer)
			if buffer = batch; jobs == 0 {
				break
			}
			if dropped > 0 {
				q.broker.log.Warn("RabbitMQ did not accept notifications in time; the oldest were dropped", "dropped", dropped)
			}
			if !q.publishWithRetry(ctx, batch, jobs) {
				return
			}
		}
		if stopping {
			return
		}
	}
}

// publishWithRetry publishes a batch until the broker confirms it. It reports
// false when the queue was closed before that.
func (q *NotifyQueue) publishWithRetry(ctx context.Context, batch []byte, jobs int) bool {
	retry := backoff.Backoff{InitialInterval: minBackoff, MaxInterval: maxBackoff}
	for {
		err := q.publish(ctx, batch)
		if err == nil {
			return true
		}
		select {
		case <-q.closing:
			q.broker.log.Warn("notifications are lost: RabbitMQ did not accept them before the stop", "jobs", jobs, "error", err)
			return false
		case <-time.After(retry.Next()):
		}
	}
}

// publish publishes one AMQP message and waits until it is confirmed. After an
// error, the next publish uses the other uplink.
func (q *NotifyQueue) publish(ctx context.Context, batch []byte) error {
	s := q.broker.currentSession(q.avoid)
	if s == nil {
		return errUnavailable
	}
	if q.broker.blocked.Load() > 0 {
		return errBrokerFull
	}
	err := q.publishOn(ctx, s, batch)
	if err != nil {
		q.avoid = s
	}
	return err
}

func (q *NotifyQueue) publishOn(ctx context.Context, s *session, batch []byte) error {
	c, err := q.confirmChannel(s)
	if err != nil {
		return err
	}
	confirmation, err := c.ch.PublishWithDeferredConfirmWithContext(ctx, "", queuePush, true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: jobBatchContentType, Body: batch,
	})
	if err != nil {
		c.discard(0)
		return errOutcomeUnknown
	}
	timeout := time.NewTimer(q.broker.confirmTimeout(s))
	defer timeout.Stop()
	select {
	case <-confirmation.Done():
	case <-c.session.lost:
		return errOutcomeUnknown
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		c.discard(0)
		return errOutcomeUnknown
	}
	select {
	case <-c.returns:
		c.discard(0) // the missing queue is declared with the next channel
		return errUnavailable
	default:
	}
	if !confirmation.Acked() {
		c.discard(minChannelAge)
		return errBrokerFull
	}
	return nil
}

// confirmChannel returns the channel on a session. It declares the queue and opens a
// new channel when the old one is not usable any more.
func (q *NotifyQueue) confirmChannel(s *session) (*confirmChannel, error) {
	if q.channel.usable(s) {
		return q.channel, nil
	}
	if err := declareQueue(s.conn, queuePush, notifyQueueArgs, q.broker.log); err != nil {
		return nil, err
	}
	c, err := q.broker.openConfirmChannel(s)
	if err != nil {
		return nil, err
	}
	q.channel = c
	return c, nil
}

// close waits until pending jobs are published, for notifyCloseTimeout at most.
func (q *NotifyQueue) close(ctx context.Context) {
	close(q.closing)
	select {
	case <-q.sendDone:
	case <-ctx.Done():
	case <-time.After(notifyCloseTimeout):
	}
}

// Consume implements [notifyqueue.Consumer].
func (q *NotifyQueue) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	q.broker.consumers.Add(1)
	defer q.broker.consumers.Add(-1)
	dial := func(ctx context.Context) (*nodeConnection, error) { return q.broker.nodes.dial(ctx, "notifier") }
	supervise(ctx, dial, "notifier", q.broker.log, nil, func(ctx context.Context, conn *amqp.Connection) error {
		return q.consumeConnection(ctx, conn, handle)
	})
	return nil
}

func (q *NotifyQueue) consumeConnection(ctx context.Context, conn *amqp.Connection, handle notifyqueue.Handler) error {
	if err := declareQueue(conn, queuePush, notifyQueueArgs, q.broker.log); err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := ch.Qos(notifyPrefetch, 0, false); err != nil {
		return fmt.Errorf("set the prefetch of a channel: %w", err)
	}
	lost := ch.NotifyClose(make(chan *amqp.Error, 1))
	deliveries, err := ch.Consume(queuePush, "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume from %s: %w", queuePush, err)
	}
	q.broker.consuming.Add(1)
	defer q.broker.consuming.Add(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, ok := <-deliveries:
			if !ok {
				return channelError(lost)
			}
			q.deliver(ctx, d, handle)
		}
	}
}

// channelError returns why the deliveries of a channel ended.
func channelError(lost <-chan *amqp.Error) error {
	select {
	case err := <-lost:
		return closeError(err)
	default: // the broker cancelled only the consumer: its queue was deleted
		return errOutcomeUnknown
	}
}

// deliver passes a delivery to the handler. A batch that cannot be decoded is
// dropped.
func (q *NotifyQueue) deliver(ctx context.Context, d amqp.Delivery, handle notifyqueue.Handler) {
	ack := func() {
		// A failure means that the channel is gone: the jobs are redelivered.
		if err := d.Ack(false); err != nil && !errors.Is(err, amqp.ErrClosed) {
			q.broker.log.Warn("sent notifications could not be acknowledged; they may be sent again", "error", err)
		}
	}
	jobs, err := decodeJobs(d.Body)
	if err != nil {
		q.broker.log.Error("notifications in the queue cannot be decoded and are dropped", "error", err)
		ack()
		return
	}
	handle(ctx, notifyqueue.Delivery{Jobs: jobs, Ack: ack})
}

// A batch of jobs is a version byte and then the jobs. A job is: conversation,
// message, seq, sender and time as varints, the length of the preview and the
// preview, the number of users and the users.
const jobBatchVersion = 1

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

// decodeJobs decodes a batch of jobs. It fails with [errMalformed].
func decodeJobs(b []byte) ([]notifyqueue.Job, error) {
	if len(b) == 0 || b[0] != jobBatchVersion {
		return nil, fmt.Errorf("%w: it is not of version %d", errMalformed, jobBatchVersion)
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

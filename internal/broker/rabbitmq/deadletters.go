package rabbitmq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// DeadLetter is a message that was accepted and can never be stored.
type DeadLetter struct {
	ID     string
	At     time.Time // when it was published as a dead letter
	Code   chat.Code // why
	Reason string
	// Submission is the message, or nil when it cannot be decoded: then only Raw
	// has it.
	Submission *chat.Submission
	Raw        []byte
}

const (
	headerCode     = "code"
	headerReason   = "reason"
	headerRequeued = "requeued" // true when an operator has requeued the message
)

// deadLetterNamespace is the namespace of the ids of dead letters (RFC 9562).
var deadLetterNamespace = uuid.MustParse("6f5d5d0e-3b0b-4c3e-9d55-0c8e3c1f7a21")

// deadLetterID returns the id of the dead letter of a submission, always the same:
// a worker that dies between the dead letter and its acknowledgement leaves the
// submission to one that publishes the dead letter once more.
func deadLetterID(s *chat.Submission) string {
	digest := s.Digest()
	name := slices.Concat(binary.BigEndian.AppendUint64(nil, uint64(s.Sender)), s.ClientID[:], digest[:]) //nolint:gosec // ids are positive
	return uuid.NewSHA1(deadLetterNamespace, name).String()
}

// newDeadLetter is the dead letter of a submission that was refused.
func newDeadLetter(s *chat.Submission, refusal *chat.Error) amqp.Publishing {
	return amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/vnd.hikyaku.batch", MessageId: deadLetterID(s), Timestamp: time.Now(),
		Headers: amqp.Table{headerCode: string(refusal.Code), headerReason: refusal.Error()},
		Body:    appendSubmission(beginBatch(nil), s),
	}
}

// newUnreadableDeadLetter is the dead letter of a message that cannot be decoded.
func newUnreadableDeadLetter(d amqp.Delivery) amqp.Publishing {
	return amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: d.ContentType, MessageId: uuid.NewString(), Timestamp: time.Now(),
		Headers: amqp.Table{headerCode: string(chat.CodeInvalid), headerReason: "the message in the queue cannot be read"},
		Body:    d.Body,
	}
}

// publishDeadLetters publishes dead letters. When it returns nil, a majority of
// the nodes has them on disk. It ignores the end of ctx: the author was told of
// the refusal already, and the next worker that receives the message would tell
// the author again. What fails on one uplink is tried on the other one.
func (b *Broker) publishDeadLetters(ctx context.Context, dead []amqp.Publishing) error {
	ctx = context.WithoutCancel(ctx)
	for i := range dead {
		dead[i].Expiration = strconv.FormatInt(b.cfg.DeadLetterRetention.Milliseconds(), 10)
	}
	first := b.currentSession(b.avoidForDead.Load())
	if first == nil {
		return errUnavailable
	}
	err := b.publishDeadLettersOn(ctx, first, dead)
	if err == nil {
		return nil
	}
	b.avoidForDead.Store(first)
	if second := b.currentSession(first); second != nil && second != first {
		return b.publishDeadLettersOn(ctx, second, dead)
	}
	return err
}

func (b *Broker) publishDeadLettersOn(ctx context.Context, s *session, dead []amqp.Publishing) error {
	timeout := b.confirmTimeout(s)
	err := publishAll(ctx, s.conn, queueDead, dead, timeout)
	if errors.Is(err, errNoQueue) {
		b.log.Error("RabbitMQ has no queue for dead letters; was it deleted? It is declared again", "queue", queueDead)
		if err := declareQueue(s.conn, queueDead, nil, b.log); err != nil {
			return err
		}
		err = publishAll(ctx, s.conn, queueDead, dead, timeout)
	}
	if err != nil {
		return err
	}
	if dropped, err := dropOldest(s.conn, queueDead, b.cfg.MaxDeadLetters, len(dead)+maxDropped); err != nil {
		b.log.Error("dead letters above --max-dead-letters could not be dropped", "error", err)
	} else if dropped > 0 {
		b.log.Warn("there are more dead letters than --max-dead-letters; the oldest were dropped", "dropped", dropped)
	}
	return nil
}

// maxDropped is how many old dead letters are dropped with new ones, besides as many
// as came: what is too much after the setting was lowered goes little by little.
const maxDropped = 100

// dropOldest removes the oldest messages of a queue that has more than keep, limit
// of them at most. RabbitMQ would do so itself by an argument of the queue, but not for
// a queue that exists already.
func dropOldest(conn *amqp.Connection, queue string, keep, limit int) (dropped int, err error) {
	err = withNewChannel(conn, func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			return err
		}
		for dropped < min(q.Messages-keep, limit) {
			if _, ok, err := ch.Get(queue, true); err != nil || !ok {
				return err
			}
			dropped++
		}
		return nil
	})
	return dropped, err
}

// errNoQueue means that messages were not stored because their queue is missing.
var errNoQueue = errors.New("RabbitMQ has no such queue; a worker declares it when it starts or reconnects")

// publishAll publishes messages to a queue and waits until they are confirmed, for
// timeout at most.
// After an error, any of them may be in the queue; after [errNoQueue], only those
// that were confirmed before the queue was deleted, and they are gone with it.
func publishAll(ctx context.Context, conn *amqp.Connection, queue string, messages []amqp.Publishing, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("put a channel into confirm mode: %w", err)
	}
	// A message without a queue is returned before it is confirmed.
	returns := ch.NotifyReturn(make(chan amqp.Return, len(messages)))
	confirmations := make([]*amqp.DeferredConfirmation, len(messages))
	for i, m := range messages {
		if confirmations[i], err = ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, m); err != nil {
			return fmt.Errorf("publish to %s: %w", queue, err)
		}
	}
	for _, c := range confirmations {
		acked, err := c.WaitContext(ctx)
		if err != nil {
			return fmt.Errorf("wait for a confirmation from %s: %w", queue, err)
		}
		switch {
		case acked:
		case ch.IsClosed():
			return errOutcomeUnknown // the library makes a nack of every confirmation that is still missing
		default:
			return errBrokerFull
		}
	}
	select {
	case _, ok := <-returns:
		if !ok {
			return errOutcomeUnknown // the channel is gone
		}
		return fmt.Errorf("publish to %s: %w", queue, errNoQueue)
	default:
		return nil
	}
}

// DeadLetterStore lists and requeues dead letters, for the operator's commands.
type DeadLetterStore struct {
	conn       *amqp.Connection
	partitions int
}

// OpenDeadLetterStore connects to the broker. partitions is the number of
// partitions of the installation.
func OpenDeadLetterStore(ctx context.Context, urls []string, partitions int) (*DeadLetterStore, error) {
	if err := (Config{URLs: urls, Partitions: partitions}).validateBroker(); err != nil {
		return nil, err
	}
	conn, err := newNodes(urls).dial(ctx, "dead letters")
	if err != nil {
		return nil, err
	}
	return &DeadLetterStore{conn: conn.Connection, partitions: partitions}, nil
}

// Close closes the connection.
func (s *DeadLetterStore) Close() error { return s.conn.Close() }

// Each calls f for every dead letter, oldest first, until f returns false: once for
// each id. The dead letters stay in the store.
func (s *DeadLetterStore) Each(f func(DeadLetter) bool) error {
	seen := map[string]bool{}
	return s.read(func(l DeadLetter, _ amqp.Delivery) bool {
		if seen[l.ID] {
			return true
		}
		seen[l.ID] = true
		return f(l)
	}, func() error { return nil })
}

// read calls f for every message of the queue, oldest first, until f returns
// false, and then done. What is not acknowledged by then goes back to its place.
func (s *DeadLetterStore) read(f func(DeadLetter, amqp.Delivery) bool, done func() error) error {
	// Not logged: the processes that serve log queues with other arguments.
	if err := declareQueue(s.conn, queueDead, nil, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	for {
		d, ok, err := ch.Get(queueDead, false)
		if err != nil {
			return fmt.Errorf("read %s: %w", queueDead, err)
		}
		if !ok || !f(readDeadLetter(d), d) {
			return done()
		}
	}
}

func readDeadLetter(d amqp.Delivery) DeadLetter {
	code, _ := d.Headers[headerCode].(string)
	reason, _ := d.Headers[headerReason].(string)
	out := DeadLetter{ID: d.MessageId, At: d.Timestamp.UTC(), Code: chat.Code(code), Reason: reason, Raw: d.Body}
	if batch, err := decodeBatch(d.Body); err == nil && len(batch) == 1 {
		out.Submission = &batch[0]
	}
	return out
}

// Find returns one dead letter. It fails with [ErrNoDeadLetter] when the id is unknown.
func (s *DeadLetterStore) Find(id string) (found DeadLetter, err error) {
	err = s.Each(func(l DeadLetter) bool {
		if l.ID == id {
			found = l
		}
		return found.ID == ""
	})
	if err == nil && found.ID == "" {
		err = ErrNoDeadLetter
	}
	return found, err
}

// ErrNoDeadLetter means that no dead letter has the given id.
var ErrNoDeadLetter = errors.New("there is no dead letter with this id; hikyaku deadletter list shows all")

// Requeue publishes a dead letter to its partition again, and removes it from the
// store when that is confirmed. A worker decides about it anew, and recognizes a
// message that was stored meanwhile. It fails with [ErrNoDeadLetter] when the id is unknown.
func (s *DeadLetterStore) Requeue(ctx context.Context, id string) error {
	if err := s.checkPartitions(); err != nil {
		return err
	}
	// All are read before the first is published: its next dead letter is not one
	// of them.
	var found []amqp.Delivery
	var letter DeadLetter
	return s.read(func(l DeadLetter, d amqp.Delivery) bool {
		if l.ID == id {
			found, letter = append(found, d), l
		}
		return true
	}, func() error {
		switch {
		case len(found) == 0:
			return ErrNoDeadLetter
		case letter.Submission == nil:
			return errors.New("the dead letter cannot be decoded, so it cannot be requeued")
		}
		queue := queueName(broker.Partition(letter.Submission.Conversation, s.partitions))
		if err := publishAll(ctx, s.conn, queue, []amqp.Publishing{{
			DeliveryMode: amqp.Persistent, ContentType: found[0].ContentType, Headers: amqp.Table{headerRequeued: true}, Body: found[0].Body,
		}}, confirmTimeout); err != nil {
			return err
		}
		for _, d := range found {
			if err := d.Ack(false); err != nil {
				return fmt.Errorf("remove the dead letter, which was requeued: %w", err)
			}
		}
		return nil
	})
}

// checkPartitions fails when more partitions are in use than the store was told of: a
// message would go to another one's queue, and its conversation to two workers. Queues
// that are left of another number have no consumers.
func (s *DeadLetterStore) checkPartitions() error {
	return withNewChannel(s.conn, func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queueName(s.partitions), true, false, false, false, nil)
		switch {
		case hasCode(err, amqp.NotFound):
			return nil
		case err != nil:
			return fmt.Errorf("look for the queue %s: %w", queueName(s.partitions), err)
		case q.Consumers > 0 || q.Messages > 0:
			return fmt.Errorf("--partitions: the installation has more than %d; give the number that its processes have", s.partitions)
		}
		return nil
	})
}

package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// DeadLetter is a message that was accepted and could not be stored.
type DeadLetter struct {
	ID     string
	At     time.Time // when it was given up
	Code   chat.Code // why
	Reason string
	// Submission is the message; nil when what was in the queue could not be
	// read, and Raw has it.
	Submission *chat.Submission
	Raw        []byte
}

const (
	headerCode   = "code"
	headerReason = "reason"
)

func deadLetter(s *chat.Submission, refusal *chat.Error) amqp.Publishing {
	return amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: "application/vnd.hikyaku.batch", MessageId: uuid.NewString(), Timestamp: time.Now(),
		Headers: amqp.Table{headerCode: string(refusal.Code), headerReason: refusal.Error()},
		Body:    appendSubmission(beginBatch(nil), s),
	}
}

func unreadable(d amqp.Delivery) amqp.Publishing {
	return amqp.Publishing{
		DeliveryMode: amqp.Persistent, ContentType: d.ContentType, MessageId: uuid.NewString(), Timestamp: time.Now(),
		Headers: amqp.Table{headerCode: string(chat.CodeInvalid), headerReason: "the message in the queue cannot be read"},
		Body:    d.Body,
	}
}

// bury keeps dead letters; they are on the disks of a majority when it returns.
// A worker that is told to stop does it all the same: the verdict is told to the
// author already, and whoever got the message next would tell it again.
func (b *Broker) bury(ctx context.Context, dead []amqp.Publishing) error {
	ctx = context.WithoutCancel(ctx)
	s := b.current()
	if s == nil {
		return errAway
	}
	err := publishAll(ctx, s.conn, queueDead, dead)
	if errors.Is(err, errNoQueue) {
		b.log.Error("RabbitMQ has no queue for dead letters; was it deleted? It is made again", "queue", queueDead)
		if err := declareQueue(s.conn, queueDead, nil, b.log); err != nil {
			return err
		}
		err = publishAll(ctx, s.conn, queueDead, dead)
	}
	return err
}

// errNoQueue says that messages were not kept because their queue is missing.
var errNoQueue = errors.New("RabbitMQ has no such queue; a worker makes it when it starts or connects again")

// publishAll puts messages into a queue and waits until they are kept. An error
// leaves open which of them are; with [errNoQueue] none is that was not before
// the queue was deleted.
func publishAll(ctx context.Context, conn *amqp.Connection, queue string, messages []amqp.Publishing) error {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	// A message that finds no queue comes back before it is confirmed.
	returns := ch.NotifyReturn(make(chan amqp.Return, len(messages)))
	waiting := make([]*amqp.DeferredConfirmation, len(messages))
	for i, m := range messages {
		if waiting[i], err = ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, m); err != nil {
			return fmt.Errorf("publish to %s: %w", queue, err)
		}
	}
	for _, w := range waiting {
		kept, err := w.WaitContext(ctx)
		if err != nil {
			return fmt.Errorf("wait for %s: %w", queue, err)
		}
		switch {
		case kept:
		case ch.IsClosed():
			return errUnknown // the library answers for a broker that is gone
		default:
			return errFull
		}
	}
	select {
	case _, ok := <-returns:
		if !ok {
			return errUnknown // the channel is gone
		}
		return fmt.Errorf("publish to %s: %w", queue, errNoQueue)
	default:
		return nil
	}
}

// DeadLetterStore reads dead letters, for the operator's commands.
type DeadLetterStore struct {
	conn       *amqp.Connection
	partitions int
}

// OpenDeadLetterStore connects to the broker. partitions is the installation's N.
func OpenDeadLetterStore(ctx context.Context, urls []string, partitions int) (*DeadLetterStore, error) {
	if err := (Config{URLs: urls, Partitions: partitions}).validateBroker(); err != nil {
		return nil, err
	}
	conn, err := dial(ctx, urls, "dead letters")
	if err != nil {
		return nil, err
	}
	return &DeadLetterStore{conn: conn, partitions: partitions}, nil
}

// Close disconnects.
func (g *DeadLetterStore) Close() error { return g.conn.Close() }

// Each calls f for every dead letter, the oldest first, until it returns false.
// They stay where they are.
func (g *DeadLetterStore) Each(f func(DeadLetter) bool) error {
	return g.each(func(d DeadLetter, _ amqp.Delivery) (bool, error) { return f(d), nil })
}

func (g *DeadLetterStore) each(f func(DeadLetter, amqp.Delivery) (bool, error)) error {
	// Whoever serves tells of settings that have changed.
	if err := declareQueue(g.conn, queueDead, nil, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	ch, err := g.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	// What was taken and not acknowledged goes back to its place.
	defer func() { _ = ch.Close() }()
	for {
		d, ok, err := ch.Get(queueDead, false)
		if err != nil {
			return fmt.Errorf("read %s: %w", queueDead, err)
		}
		if !ok {
			return nil
		}
		more, err := f(readDeadLetter(d), d)
		if err != nil || !more {
			return err
		}
	}
}

func readDeadLetter(d amqp.Delivery) DeadLetter {
	code, _ := d.Headers[headerCode].(string)
	reason, _ := d.Headers[headerReason].(string)
	out := DeadLetter{ID: d.MessageId, At: d.Timestamp.UTC(), Code: chat.Code(code), Reason: reason, Raw: d.Body}
	if s, err := decodeBatch(d.Body); err == nil && len(s) == 1 {
		out.Submission = &s[0]
	}
	return out
}

// Find gives one dead letter; [ErrNoDeadLetter] when it is not there.
func (g *DeadLetterStore) Find(id string) (found DeadLetter, err error) {
	err = g.Each(func(l DeadLetter) bool {
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

// ErrNoDeadLetter answers for an id that is not there.
var ErrNoDeadLetter = errors.New("there is no dead letter with this id; hikyaku deadletter list shows all")

// Requeue sends a dead letter through its partition again. It is gone from the
// dead ones only when it is kept there; a worker recognises it should it have
// been stored meanwhile.
func (g *DeadLetterStore) Requeue(ctx context.Context, id string) error {
	found := false
	err := g.each(func(l DeadLetter, d amqp.Delivery) (bool, error) {
		if l.ID != id {
			return true, nil
		}
		found = true
		if l.Submission == nil {
			return false, errors.New("the dead letter cannot be read, so it cannot be sent again")
		}
		queue := queueOf(broker.Partition(l.Submission.Conversation, g.partitions))
		if err := publishAll(ctx, g.conn, queue, []amqp.Publishing{{
			DeliveryMode: amqp.Persistent, ContentType: d.ContentType, Body: d.Body,
		}}); err != nil {
			return false, err
		}
		return false, d.Ack(false)
	})
	if err == nil && !found {
		err = ErrNoDeadLetter
	}
	return err
}

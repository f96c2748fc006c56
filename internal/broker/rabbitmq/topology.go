package rabbitmq

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Names on the broker.
const (
	exchangeMessages = "hikyaku.messages"
	exchangeWorkers  = "hikyaku.workers"
	queueDead        = "hikyaku.dead"
	queuePush        = "hikyaku.push"
)

func queueOf(partition int) string { return exchangeMessages + "." + strconv.Itoa(partition) }

func keyOf(partition int) string { return strconv.Itoa(partition) }

// Bounds of the queues, in bytes on the disk. A full partition refuses
// publishes, which gateways tell their senders.
const (
	maxPartitionBytes = 1 << 30
	maxPushBytes      = 256 << 20
)

// declare makes what is missing. Everything survives the nodes.
func declare(conn *amqp.Connection, partitions int, log *slog.Logger) error {
	q, err := newQueues(conn)
	if err != nil {
		return err
	}
	defer q.close(log)
	for name, kind := range map[string]string{exchangeMessages: amqp.ExchangeDirect, exchangeWorkers: amqp.ExchangeFanout} {
		if err := q.on(func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(name, kind, true, false, false, false, nil)
		}); err != nil {
			return declared("exchange", name, err)
		}
	}
	for p := range partitions {
		name := queueOf(p)
		if err := q.declare(name, amqp.Table{
			amqp.SingleActiveConsumerArg: true,
			amqp.QueueMaxLenBytesArg:     int64(maxPartitionBytes), amqp.QueueOverflowArg: amqp.QueueOverflowRejectPublish,
		}); err != nil {
			return err
		}
		if err := q.on(func(ch *amqp.Channel) error {
			return ch.QueueBind(name, keyOf(p), exchangeMessages, false, nil)
		}); err != nil {
			return declared("queue", name, err)
		}
	}
	if err := q.declare(queueDead, nil); err != nil {
		return err
	}
	return q.declare(queuePush, pushSettings)
}

// declareQueue makes one of the queues that are bound to no exchange.
func declareQueue(conn *amqp.Connection, name string, more amqp.Table, log *slog.Logger) error {
	q, err := newQueues(conn)
	if err != nil {
		return err
	}
	defer q.close(log)
	return q.declare(name, more)
}

func declared(what, name string, err error) error {
	var e *amqp.Error
	if errors.As(err, &e) {
		switch e.Code {
		case amqp.PreconditionFailed:
			return fmt.Errorf("--broker: the %s %s exists with other settings (%s); another program made it, or an older Hikyaku: empty and delete it, or use another virtual host", what, name, e.Reason)
		case amqp.AccessRefused:
			return fmt.Errorf("--broker: the user may not make the %s %s; give it configure, write and read permission on hikyaku.*", what, name)
		}
	}
	return fmt.Errorf("make the %s %s: %w", what, name, err)
}

// queueInstallation is never used; its settings hold the installation's name.
const queueInstallation = "hikyaku.installation"

// claim writes down whose virtual host this is, and refuses another's. The
// name is a setting that RabbitMQ compares when a queue is declared again.
//
// An installation that has claimed one before must find its mark there: where
// it is missing, a second installation is about to work on the same database,
// or messages wait somewhere else.
func claim(conn *amqp.Connection, installation string, claimed bool) error {
	if installation == "" {
		return nil
	}
	// The same for ever and on all servers; nothing is ever in it.
	mark := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": installation}
	if claimed {
		err := onChannel(conn, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(queueInstallation, true, false, false, false, mark)
			return err
		})
		if is(err, amqp.NotFound) {
			return errors.New("--broker: this is not the RabbitMQ that holds the queues of this database's installation; give each installation a database of its own, or run hikyaku migrate --broker-moved if the old queues are empty and no process uses them any more")
		}
		if err != nil {
			return declared("queue", queueInstallation, err)
		}
	}
	err := onChannel(conn, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queueInstallation, true, false, false, false, mark)
		return err
	})
	if is(err, amqp.PreconditionFailed) {
		return errors.New("--broker: the virtual host belongs to another installation of Hikyaku, whose database is another one; give each installation a virtual host of its own")
	}
	if err != nil {
		return declared("queue", queueInstallation, err)
	}
	return nil
}

func is(err error, code int) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == code
}

// onChannel does something on a channel of its own, which an error closes.
func onChannel(conn *amqp.Connection, do func(*amqp.Channel) error) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	return do(ch)
}

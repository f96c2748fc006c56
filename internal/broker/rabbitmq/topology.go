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

func queueName(partition int) string { return exchangeMessages + "." + strconv.Itoa(partition) }

func routingKey(partition int) string { return strconv.Itoa(partition) }

// Bounds of the queues, in bytes on disk. A full partition refuses publishes, and
// gateways report that to the senders.
const (
	maxPartitionBytes   = 1 << 30
	maxNotifyQueueBytes = 256 << 20
)

// declareTopology declares all exchanges and queues. They are durable.
func declareTopology(conn *amqp.Connection, partitions int, log *slog.Logger) error {
	q, err := newQueueDeclarer(conn)
	if err != nil {
		return err
	}
	defer q.close(log)
	for name, kind := range map[string]string{exchangeMessages: amqp.ExchangeDirect, exchangeWorkers: amqp.ExchangeFanout} {
		if err := q.withChannel(func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(name, kind, true, false, false, false, nil)
		}); err != nil {
			return declareError("exchange", name, err)
		}
	}
	for p := range partitions {
		name := queueName(p)
		if err := q.declare(name, amqp.Table{
			amqp.SingleActiveConsumerArg: true,
			amqp.QueueMaxLenBytesArg:     int64(maxPartitionBytes), amqp.QueueOverflowArg: amqp.QueueOverflowRejectPublish,
		}); err != nil {
			return err
		}
		if err := q.withChannel(func(ch *amqp.Channel) error {
			return ch.QueueBind(name, routingKey(p), exchangeMessages, false, nil)
		}); err != nil {
			return declareError("queue", name, err)
		}
	}
	if err := q.declare(queueDead, nil); err != nil {
		return err
	}
	return q.declare(queuePush, notifyQueueArgs)
}

// declareQueue declares a queue that is bound to no exchange.
func declareQueue(conn *amqp.Connection, name string, extra amqp.Table, log *slog.Logger) error {
	q, err := newQueueDeclarer(conn)
	if err != nil {
		return err
	}
	defer q.close(log)
	return q.declare(name, extra)
}

// declareError explains an error of the declaration of a queue or exchange.
func declareError(what, name string, err error) error {
	var e *amqp.Error
	if errors.As(err, &e) {
		switch e.Code {
		case amqp.PreconditionFailed:
			return fmt.Errorf("--broker: the %s %s exists with other settings (%s); another program made it, or an older Hikyaku: empty and delete it, or use another virtual host", what, name, e.Reason)
		case amqp.AccessRefused:
			return fmt.Errorf("--broker: the user may not make the %s %s; give it configure, write and read permission on hikyaku.*", what, name)
		}
	}
	return fmt.Errorf("declare the %s %s: %w", what, name, err)
}

// queueInstallation is always empty; its arguments hold the installation's id.
const queueInstallation = "hikyaku.installation"

// claim records which installation owns the virtual host, and refuses one that
// another installation owns. The id is in an argument that RabbitMQ compares when
// the queue is declared again.
//
// An installation that has claimed a virtual host before must find its marker:
// when that is missing, either a second installation is about to use the same
// database, or messages wait in another virtual host.
func claim(conn *amqp.Connection, installation string, claimed bool) error {
	if installation == "" {
		return nil
	}
	// These arguments must never change, on any version of the server.
	marker := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": installation}
	if claimed {
		err := withNewChannel(conn, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(queueInstallation, true, false, false, false, marker)
			return err
		})
		if hasCode(err, amqp.NotFound) {
			return errors.New("--broker: this is not the RabbitMQ that holds the queues of this database's installation; give each installation a database of its own, or run hikyaku migrate --broker-moved if the old queues are empty and no process uses them any more")
		}
		if err != nil {
			return declareError("queue", queueInstallation, err)
		}
	}
	err := withNewChannel(conn, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queueInstallation, true, false, false, false, marker)
		return err
	})
	if hasCode(err, amqp.PreconditionFailed) {
		return errors.New("--broker: the virtual host belongs to another installation of Hikyaku, whose database is another one; give each installation a virtual host of its own")
	}
	if err != nil {
		return declareError("queue", queueInstallation, err)
	}
	return nil
}

// hasCode reports whether err is an AMQP error with a code.
func hasCode(err error, code int) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == code
}

// withNewChannel calls do with a new channel, which it closes. An error of the
// server closes a channel, so what may fail needs one of its own.
func withNewChannel(conn *amqp.Connection, do func(*amqp.Channel) error) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	return do(ch)
}

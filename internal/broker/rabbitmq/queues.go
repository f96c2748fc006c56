package rabbitmq

import (
	"fmt"
	"log/slog"
	"maps"

	amqp "github.com/rabbitmq/amqp091-go"
)

// argDeliveryLimit is how often a quorum queue hands a message out again before
// it drops it. From 4.0 that is 20 times where nothing is said. A message comes
// back whenever a worker goes that had it, or somebody has looked at the dead
// letters, and none of that makes it worth less: so there is no limit. Servers
// before 4.0 have none, and take -1 for 0.
const argDeliveryLimit = "x-delivery-limit"

const noDeliveryLimit = int64(-1)

// quorum gives the settings of a quorum queue on a server of a major version.
func quorum(major int, more amqp.Table) amqp.Table {
	args := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	if major >= 4 {
		args[argDeliveryLimit] = noDeliveryLimit
	}
	maps.Copy(args, more)
	return args
}

// queues makes queues on a connection.
type queues struct {
	conn  *amqp.Connection
	major int           // version of the server
	ch    *amqp.Channel // nil when the last error closed it

	// limited are queues from before the server was of version 4, as a rule: a
	// queue keeps its settings, and gets the limit that goes without saying.
	limited []string
}

func newQueues(conn *amqp.Connection) (*queues, error) {
	major, _, err := version(conn)
	return &queues{conn: conn, major: major}, err
}

// on does something on the channel.
func (q *queues) on(do func(*amqp.Channel) error) error {
	if q.ch == nil {
		ch, err := q.conn.Channel()
		if err != nil {
			return fmt.Errorf("open a channel: %w", err)
		}
		q.ch = ch
	}
	err := do(q.ch)
	if err != nil {
		_ = q.ch.Close()
		q.ch = nil
	}
	return err
}

// declare makes a quorum queue that is missing.
func (q *queues) declare(name string, more amqp.Table) error {
	args := quorum(q.major, more)
	try := func() error {
		return q.on(func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(name, true, false, false, false, args)
			return err
		})
	}
	err := try()
	if _, ok := args[argDeliveryLimit]; ok && is(err, amqp.PreconditionFailed) {
		delete(args, argDeliveryLimit)
		if try() == nil {
			q.limited = append(q.limited, name)
			return nil
		}
	}
	if err != nil {
		return declared("queue", name, err)
	}
	return nil
}

// close ends the work and tells of the queues that the operator must look after.
func (q *queues) close(log *slog.Logger) {
	if q.ch != nil {
		_ = q.ch.Close()
	}
	if len(q.limited) > 0 {
		log.Warn("RabbitMQ drops what came back 20 times from these queues, which were made without another limit; see \"RabbitMQ 4\" in docs/operations.md",
			"queues", q.limited)
	}
}

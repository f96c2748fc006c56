package rabbitmq

import (
	"fmt"
	"log/slog"
	"maps"

	amqp "github.com/rabbitmq/amqp091-go"
)

// argDeliveryLimit is how often a quorum queue redelivers a message before it
// drops it. From 4.0 the default is 20. A message is redelivered whenever the
// worker that had it leaves, or somebody has listed the dead letters, and neither
// makes it less valuable: so we set no limit. Servers before 4.0 have no limit by
// default, and treat -1 as 0.
const argDeliveryLimit = "x-delivery-limit"

const noDeliveryLimit = int64(-1)

// quorumQueueArgs returns the arguments of a quorum queue for a major version of
// the server.
func quorumQueueArgs(major int, extra amqp.Table) amqp.Table {
	args := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	if major >= 4 {
		args[argDeliveryLimit] = noDeliveryLimit
	}
	maps.Copy(args, extra)
	return args
}

// queueDeclarer declares queues on a connection. One goroutine uses it.
type queueDeclarer struct {
	conn  *amqp.Connection
	major int           // version of the server
	ch    *amqp.Channel // nil before the first use and after an error

	// limitedQueues are queues that have a delivery limit. They were usually
	// declared before the server was upgraded to version 4: a queue keeps its
	// arguments, and the new default applies to it.
	limitedQueues []string
}

func newQueueDeclarer(conn *amqp.Connection) (*queueDeclarer, error) {
	major, _, err := serverVersion(conn)
	return &queueDeclarer{conn: conn, major: major}, err
}

// withChannel calls do with the declarer's channel, which is open.
func (q *queueDeclarer) withChannel(do func(*amqp.Channel) error) error {
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

// declare declares a durable quorum queue. A queue that exists without
// argDeliveryLimit is accepted and reported by close.
func (q *queueDeclarer) declare(name string, extra amqp.Table) error {
	args := quorumQueueArgs(q.major, extra)
	try := func() error {
		return q.withChannel(func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(name, true, false, false, false, args)
			return err
		})
	}
	err := try()
	if _, ok := args[argDeliveryLimit]; ok && hasCode(err, amqp.PreconditionFailed) {
		delete(args, argDeliveryLimit)
		if try() == nil {
			q.limitedQueues = append(q.limitedQueues, name)
			return nil
		}
	}
	if err != nil {
		return declareError("queue", name, err)
	}
	return nil
}

// close closes the channel and logs the queues that the operator must replace.
func (q *queueDeclarer) close(log *slog.Logger) {
	if q.ch != nil {
		_ = q.ch.Close()
	}
	if len(q.limitedQueues) > 0 {
		log.Warn("RabbitMQ drops messages that were redelivered 20 times from these queues, which were declared without another limit; see \"RabbitMQ 4\" in docs/operations.md",
			"queues", q.limitedQueues)
	}
}

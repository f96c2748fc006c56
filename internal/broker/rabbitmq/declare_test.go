package rabbitmq

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func connection(t *testing.T) *amqp.Connection {
	t.Helper()
	conn, err := amqp.Dial(stacktest.VHost(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Servers from 4.0 drop a message after 20 redeliveries unless the queue says
// otherwise; older ones never do, and would treat -1 as a limit of 0.
func TestNoDeliveryLimit(t *testing.T) {
	t.Parallel()
	if got, ok := quorumQueueArgs(3, nil)[argDeliveryLimit]; ok {
		t.Errorf("version 3: the delivery limit is %v, want none", got)
	}
	for _, major := range []int{4, 5} {
		if got := quorumQueueArgs(major, notifyQueueArgs)[argDeliveryLimit]; got != int64(-1) {
			t.Errorf("version %d: the delivery limit is %v, want -1", major, got)
		}
	}
}

// A queue from before the server was upgraded has other arguments: it is used as
// it is, and logged for the operator. A queue that is not ours is refused.
func TestQueuesFromBeforeAnUpgrade(t *testing.T) {
	t.Parallel()
	conn := connection(t)
	before := &queueDeclarer{conn: conn, major: 3}
	if err := before.declare(queuePush, notifyQueueArgs); err != nil {
		t.Fatal(err)
	}
	if err := before.declare("strange", amqp.Table{amqp.QueueMaxLenBytesArg: int64(1)}); err != nil {
		t.Fatal(err)
	}
	after := &queueDeclarer{conn: conn, major: 4}
	for _, name := range []string{queuePush, queueDead, queueDead} {
		if err := after.declare(name, argsOf(name)); err != nil {
			t.Error(err)
		}
	}
	if err := after.declare("strange", notifyQueueArgs); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("a queue with other settings: %v", err)
	}
	var log bytes.Buffer
	after.close(slog.New(slog.NewTextHandler(&log, nil)))
	if out := log.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "["+queuePush+"]") {
		t.Errorf("the log says %q; want only the old queue", out)
	}
	// A queue that was declared with the argument has it.
	err := withNewChannel(conn, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queueDead, true, false, false, false, quorumQueueArgs(3, nil))
		return err
	})
	if !hasCode(err, amqp.PreconditionFailed) {
		t.Errorf("the new queue can be declared without the argument: %v", err)
	}
}

func argsOf(name string) amqp.Table {
	if name == queuePush {
		return notifyQueueArgs
	}
	return nil
}

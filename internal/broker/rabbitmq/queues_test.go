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

// Servers from 4.0 drop what comes back 20 times unless they are told not to;
// older ones never do, and would take the word against it for a limit of none.
func TestNoDeliveryLimit(t *testing.T) {
	t.Parallel()
	if got, ok := quorum(3, nil)[argDeliveryLimit]; ok {
		t.Errorf("a server of version 3 is told of a limit of %v", got)
	}
	for _, major := range []int{4, 5} {
		if got := quorum(major, pushSettings)[argDeliveryLimit]; got != int64(-1) {
			t.Errorf("a server of version %d is told of a limit of %v", major, got)
		}
	}
}

// A queue from before the server was upgraded has other settings: it is used as
// it is, and the operator is told. One that is no queue of ours is refused.
func TestQueuesFromBeforeAnUpgrade(t *testing.T) {
	t.Parallel()
	conn := connection(t)
	before := &queues{conn: conn, major: 3}
	if err := before.declare(queuePush, pushSettings); err != nil {
		t.Fatal(err)
	}
	if err := before.declare("strange", amqp.Table{amqp.QueueMaxLenBytesArg: int64(1)}); err != nil {
		t.Fatal(err)
	}
	after := &queues{conn: conn, major: 4}
	for _, name := range []string{queuePush, queueDead, queueDead} {
		if err := after.declare(name, settings(name)); err != nil {
			t.Error(err)
		}
	}
	if err := after.declare("strange", pushSettings); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("a queue with other settings: %v", err)
	}
	var log bytes.Buffer
	after.close(slog.New(slog.NewTextHandler(&log, nil)))
	if out := log.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "["+queuePush+"]") {
		t.Errorf("the log says %q; the old queue alone was due", out)
	}
	// A queue that was made with the setting has it.
	err := onChannel(conn, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queueDead, true, false, false, false, quorum(3, nil))
		return err
	})
	if !is(err, amqp.PreconditionFailed) {
		t.Errorf("the new queue can be declared without the setting: %v", err)
	}
}

func settings(name string) amqp.Table {
	if name == queuePush {
		return pushSettings
	}
	return nil
}

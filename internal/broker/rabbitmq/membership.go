package rabbitmq

import (
	"context"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Every worker subscribes to every partition, and RabbitMQ makes one of them the
// active consumer: when it dies, the next one continues at once. Without more,
// the worker that started first would own all partitions. So the workers
// announce themselves to each other, and each computes from the list of workers
// alone which partitions it should own. A worker that is active on another's
// partition yields it, and stands by from then on.
//
// The list decides about balance only, not about correctness: while two workers
// have different lists, a partition may move once more than needed, but it never
// has two active workers.
const (
	helloInterval = 2 * time.Second
	memberTimeout = 3 * helloInterval
	// settleTime is how long the list must be unchanged before partitions are
	// moved, so that many workers that start together move them once.
	settleTime = time.Second
	// rebalanceDelay is how long a worker stays unsubscribed from a partition
	// that it yields, so that its owner is ahead of it among the consumers.
	rebalanceDelay = 500 * time.Millisecond
)

// Types of the announcements.
const (
	typeHello = "hello" // the worker lives
	typeBye   = "bye"   // the worker leaves
)

// membership is the list of the live workers. One goroutine uses it.
type membership struct {
	self     string
	lastSeen map[string]time.Time // by worker, self included
	changed  time.Time
}

func newMembership(self string, now time.Time) *membership {
	return &membership{self: self, lastSeen: map[string]time.Time{self: now}, changed: now}
}

// update records an announcement: that a worker lives, or that it leaves.
func (m *membership) update(id string, leaves bool, now time.Time) {
	if id == m.self {
		return
	}
	_, known := m.lastSeen[id]
	if known == leaves { // it leaves, or it is new
		m.changed = now
	}
	if leaves {
		delete(m.lastSeen, id)
	} else {
		m.lastSeen[id] = now
	}
}

// list returns the ids of the live workers, sorted, and whether the list has
// been the same for settleTime.
func (m *membership) list(now time.Time) (ids []string, settled bool) {
	for id, at := range m.lastSeen {
		if id != m.self && now.Sub(at) > memberTimeout {
			delete(m.lastSeen, id)
			m.changed = now
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, now.Sub(m.changed) >= settleTime
}

// owner returns the worker that should be active on a partition.
func owner(workers []string, partition int) string { return workers[partition%len(workers)] }

// peers exchanges announcements with the other workers over one connection.
type peers struct {
	self          string
	ch            *amqp.Channel
	announcements <-chan amqp.Delivery // also its own; closed with the channel
}

// joinPeers subscribes to the announcements. The subscription ends with conn.
func joinPeers(conn *amqp.Connection, self string) (*peers, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	q, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return nil, fmt.Errorf("declare a queue for announcements of workers: %w", err)
	}
	if err := ch.QueueBind(q.Name, "", exchangeWorkers, false, nil); err != nil {
		return nil, fmt.Errorf("bind a queue for announcements of workers: %w", err)
	}
	announcements, err := ch.Consume(q.Name, "", true, true, false, false, nil)
	if err != nil {
		return nil, fmt.Errorf("consume announcements of workers: %w", err)
	}
	return &peers{self: self, ch: ch, announcements: announcements}, nil
}

// announce publishes typeHello or typeBye. An error is ignored: it means that
// the connection is being lost, which serve learns by itself.
func (p *peers) announce(what string) {
	_ = p.ch.PublishWithContext(context.Background(), exchangeWorkers, "", false, false, amqp.Publishing{Type: what, MessageId: p.self})
}

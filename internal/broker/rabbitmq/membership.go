package rabbitmq

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Every worker subscribes to every partition, and RabbitMQ makes one of them the
// active consumer: when it dies, the next one continues at once. Without more,
// the worker that started first would own all partitions for ever. So the workers
// announce themselves to each other, the oldest leads and says how many of them
// share the partitions (sharing.go), and each computes from that and the list of
// workers which partitions it should own. A worker that is active on another's
// partition yields it, and stands by from then on.
//
// This decides about balance only, not about correctness: while two workers have
// different lists, a partition may move once more than needed, but it never has two
// active workers.
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

// headerSharers of an announcement is how many workers share the partitions, as far as
// the sender knows.
const headerSharers = "sharers"

// membership is the list of the live workers, and how many of them share the
// partitions. One goroutine uses it.
type membership struct {
	self     string
	lastSeen map[string]time.Time // by worker, self included
	changed  time.Time

	sharers int            // workers that share the partitions, from 1: the oldest ones
	said    map[string]int // by worker: what it says of them; 0 if it says nothing
	sharing sharing        // used while self leads
}

// newMembership returns the list of a worker that knows of no other one. Workers that
// start later must have greater ids, as far as clocks agree: so one that joins does not
// change which others share, and they keep what they have.
func newMembership(self string, now time.Time) *membership {
	return &membership{self: self, lastSeen: map[string]time.Time{self: now}, changed: now, sharers: 1, said: map[string]int{}}
}

// update records an announcement: that a worker lives, or that it leaves, and how
// many share the partitions as far as it knows; 0 from one of an older version, where
// all did.
func (m *membership) update(id string, leaves bool, sharers int, now time.Time) {
	if id == m.self {
		return
	}
	_, known := m.lastSeen[id]
	if known == leaves { // it leaves, or it is new
		m.changed = now
	}
	if leaves {
		m.remove(id)
	} else {
		m.lastSeen[id], m.said[id] = now, sharers
	}
}

func (m *membership) remove(id string) {
	delete(m.lastSeen, id)
	delete(m.said, id)
}

// list returns the ids of the live workers, the oldest first, and whether the list
// has been the same for settleTime.
func (m *membership) list(now time.Time) (ids []string, settled bool) {
	for id, at := range m.lastSeen {
		if id != m.self && now.Sub(at) > memberTimeout {
			m.remove(id)
			m.changed = now
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if leader := ids[0]; leader != m.self {
		m.sharers = cmp.Or(m.said[leader], len(ids))
	}
	return ids, now.Sub(m.changed) >= settleTime
}

// owners returns those of the live workers that should own the partitions.
func (m *membership) owners(live []string) []string { return live[:min(m.sharers, len(live))] }

// sample takes the worker's backlog, as [sharing.sample] does if this worker leads. It
// reports whether another number of workers should share now.
func (m *membership) sample(backlog int, live []string) (changed bool) {
	if live[0] != m.self {
		return false
	}
	before := m.sharers
	m.sharers = m.sharing.sample(backlog, before, len(live))
	return m.sharers != before
}

// owner returns the worker that should be active on a partition.
func owner(owners []string, partition int) string { return owners[partition%len(owners)] }

// peers exchanges announcements with the other workers over one connection.
type peers struct {
	ch            *amqp.Channel
	announcements <-chan amqp.Delivery // also its own; closed with the channel
}

// joinPeers subscribes to the announcements. The subscription ends with conn.
func joinPeers(conn *amqp.Connection) (*peers, error) {
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
	return &peers{ch: ch, announcements: announcements}, nil
}

// announce publishes typeHello or typeBye of a worker. An error is ignored: it means
// that the connection is being lost, which serve learns by itself.
func (p *peers) announce(what string, m *membership) {
	_ = p.ch.PublishWithContext(context.Background(), exchangeWorkers, "", false, false, amqp.Publishing{
		Type: what, MessageId: m.self, Headers: amqp.Table{headerSharers: int32(m.sharers)}, //nolint:gosec // at most as many as there are workers
	})
}

// receive records an announcement.
func (m *membership) receive(d amqp.Delivery, now time.Time) {
	sharers, _ := d.Headers[headerSharers].(int32)
	m.update(d.MessageId, d.Type == typeBye, int(max(sharers, 0)), now)
}

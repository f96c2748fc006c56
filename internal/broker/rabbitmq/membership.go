package rabbitmq

import (
	"cmp"
	"context"
	"fmt"
	"math"
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

// Headers of the announcements.
const (
	headerSharers = "sharers" // how many workers share the partitions, as far as the sender knows
	headerBacklog = "backlog" // the sender's, in messages, on average since its last announcement
	headerLeast   = "least"   // the least of its last busySamples samples
)

// membership is the list of the live workers, and how many of them share the
// partitions. One goroutine uses it.
type membership struct {
	self    string // later workers have greater ids
	joined  time.Time
	others  map[string]member // by id
	changed time.Time

	sharers  int       // workers that share the partitions, from 1: the oldest ones
	sharing  sharing   // used while self leads
	decided  time.Time // when self, as the leader, has last changed sharers
	backlogs []int     // of self, since its last announcement
}

// member is another worker, by its last announcement.
type member struct {
	heard   time.Time
	sharers int // 0 from one of an older version, where all share
	backlog int
	least   int
}

// newMembership returns the list of a worker that knows of no other one. Workers that
// start later must have greater ids, as far as clocks agree: so one that joins does not
// change which others share, and they keep what they have.
func newMembership(self string, now time.Time) *membership {
	return &membership{self: self, joined: now, others: map[string]member{}, changed: now, sharers: 1}
}

// receive records an announcement: that a worker lives, or that it leaves.
func (m *membership) receive(d amqp.Delivery, now time.Time) {
	id, leaves := d.MessageId, d.Type == typeBye
	if id == m.self {
		return
	}
	_, known := m.others[id]
	if known == leaves { // it leaves, or it is new
		m.changed = now
	}
	if leaves {
		delete(m.others, id)
		return
	}
	w := member{heard: now, sharers: positive(d.Headers[headerSharers]), backlog: positive(d.Headers[headerBacklog]), least: positive(d.Headers[headerLeast])}
	if !known && now.Sub(m.joined) < memberTimeout {
		// If it leads at once, since the clocks of the others are ahead, it goes on from there.
		m.sharers = max(m.sharers, w.sharers)
	}
	m.others[id] = w
}

// connected takes the workers that are known for alive once more: while this one had no
// connection it could not hear of them.
func (m *membership) connected(now time.Time) {
	for id, w := range m.others {
		w.heard = now
		m.others[id] = w
	}
}

// positive returns the number in a header, 0 if it has none or a negative one.
func positive(header any) int {
	n, _ := header.(int32)
	return int(max(n, 0))
}

// announcement returns typeHello or typeBye of this worker, to be sent now: the samples
// of its backlog begin anew.
func (m *membership) announcement(what string) amqp.Publishing {
	sum, least := 0, 0
	for _, b := range m.backlogs {
		sum += b
	}
	n := len(m.backlogs)
	if n >= busySamples {
		least = slices.Min(m.backlogs[n-busySamples:])
	}
	m.backlogs = m.backlogs[:0]
	header := func(n int) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // bounded, and not negative
	return amqp.Publishing{Type: what, MessageId: m.self, Headers: amqp.Table{
		headerSharers: header(m.sharers), headerBacklog: header(sum / max(n, 1)), headerLeast: header(least),
	}}
}

// list returns the ids of the live workers, the oldest first, and whether the list
// has been the same for settleTime.
func (m *membership) list(now time.Time) (ids []string, settled bool) {
	ids = append(ids, m.self)
	for id, w := range m.others {
		if now.Sub(w.heard) > memberTimeout {
			delete(m.others, id)
			m.changed = now
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if leader := ids[0]; leader != m.self {
		m.sharers = cmp.Or(m.others[leader].sharers, len(ids))
	}
	return ids, now.Sub(m.changed) >= settleTime
}

// owners returns those of the live workers that should own the partitions.
func (m *membership) owners(live []string) []string { return live[:min(m.sharers, len(live))] }

// sample takes the worker's backlog. If this worker leads, it decides anew how many
// should share, by the largest backlog of those that do: a partition that has more than
// the others may be anybody's. It reports whether that has changed.
func (m *membership) sample(backlog int, live []string, now time.Time) (changed bool) {
	m.backlogs = append(m.backlogs, backlog)
	if live[0] != m.self {
		return false
	}
	least, average := backlog, backlog
	for _, id := range m.owners(live) {
		w := m.others[id]
		average = max(average, w.backlog)
		if w.heard.After(m.decided) { // what it had before is answered
			least = max(least, w.least)
		}
	}
	before := m.sharers
	n := m.sharing.sample(least, average, before, len(live))
	if n == before || n == len(live) && before > n { // those that are missing may be back soon
		return false
	}
	m.sharers, m.decided = n, now
	return true
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

// announce publishes an announcement. An error is ignored: it means that the connection
// is being lost, which serve learns by itself.
func (p *peers) announce(what amqp.Publishing) {
	_ = p.ch.PublishWithContext(context.Background(), exchangeWorkers, "", false, false, what)
}

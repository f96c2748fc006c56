package rabbitmq

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// hello is the announcement of a worker that was published and came.
func hello(m *membership) amqp.Delivery {
	p := m.announcement(typeHello)
	return amqp.Delivery{Type: p.Type, MessageId: p.MessageId, Headers: p.Headers}
}

// says is the announcement of a worker whose backlog is steady.
func says(id string, sharers, backlog int32) amqp.Delivery {
	return amqp.Delivery{Type: typeHello, MessageId: id, Headers: amqp.Table{headerSharers: sharers, headerBacklog: backlog, headerLeast: backlog}}
}

// Each partition has one owner on which all workers agree, whatever the order of their
// announcements; as many own some as the oldest says; and a worker that joins while
// one has all of them takes nothing from it.
func TestOwners(t *testing.T) {
	const partitions = 16
	now := time.Now()
	random := rand.New(rand.NewPCG(3, 4))
	var workers []*membership
	for i := range 5 {
		workers = append(workers, newMembership(fmt.Sprintf("%03d", i), now))
		for _, sharers := range []int{1, 2, 4} {
			workers[0].sharers = sharers
			now = now.Add(time.Second)
			for range 3 {
				for _, j := range random.Perm(len(workers)) {
					for _, w := range workers {
						w.receive(hello(workers[j]), now)
					}
				}
			}
			var first []string
			for _, w := range workers {
				live, settled := w.list(now.Add(settleTime))
				if !settled || len(live) != len(workers) {
					t.Fatalf("%s knows of %d of %d workers, settled: %t", w.self, len(live), len(workers), settled)
				}
				owners := w.owners(live)
				if first == nil {
					first = owners
				}
				if !slices.Equal(owners, first) || len(owners) != min(sharers, len(workers)) {
					t.Fatalf("%d should own, and %s takes %v for the owners, and another one %v", sharers, w.self, owners, first)
				}
			}
			for p := range partitions {
				if sharers == 1 && owner(first, p) != workers[0].self {
					t.Errorf("partition %d moved to %s as worker %d joined", p, owner(first, p), i)
				}
			}
		}
	}
}

// When the oldest worker leaves, or is not heard of any more, the next one decides, and
// begins with what the one before had decided.
func TestLeaderLeaves(t *testing.T) {
	for name, leave := range map[string]func(m *membership, now time.Time) time.Time{
		"it says so": func(m *membership, now time.Time) time.Time {
			m.receive(amqp.Delivery{Type: typeBye, MessageId: "1"}, now)
			return now
		},
		"it is silent": func(m *membership, now time.Time) time.Time {
			later := now.Add(memberTimeout + time.Second)
			m.receive(says("3", 2, 0), later)
			return later
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			m := newMembership("2", now)
			m.receive(says("1", 2, 0), now)
			m.receive(says("3", 1, 0), now) // it does not lead, and has not heard yet
			live, _ := m.list(now)
			if m.sample(fullBatch, live, now) || !slices.Equal(m.owners(live), []string{"1", "2"}) {
				t.Fatalf("the owners are %v", m.owners(live))
			}
			now = leave(m, now)
			live, _ = m.list(now)
			if !slices.Equal(m.owners(live), []string{"2", "3"}) {
				t.Errorf("then the owners are %v of %v", m.owners(live), live)
			}
			changed := false
			for range 2 * quietSamples {
				changed = changed || m.sample(0, live, now)
			}
			if !changed || len(m.owners(live)) != 1 {
				t.Errorf("it does not lead: %v own", m.owners(live))
			}
		})
	}
}

// Where a worker of an older version is the oldest, all share, as they did.
func TestOlderVersionLeads(t *testing.T) {
	now := time.Now()
	m := newMembership("2", now)
	m.receive(amqp.Delivery{Type: typeHello, MessageId: "1"}, now)
	m.receive(amqp.Delivery{Type: typeHello, MessageId: "3"}, now)
	live, _ := m.list(now)
	if len(m.owners(live)) != 3 {
		t.Errorf("%v own", m.owners(live))
	}
}

// One partition may have more than all others, so the leader goes by the largest backlog
// of those that share, whosever it is; those of workers that stand by say nothing.
func TestLargestBacklogCounts(t *testing.T) {
	now := time.Now()
	m := newMembership("1", now)
	share := func(second, third int32) int {
		t.Helper()
		now = now.Add(time.Second)
		m.receive(says("2", 0, second), now)
		m.receive(says("3", 0, third), now)
		live, _ := m.list(now)
		for range 3 * quietSamples {
			m.sample(0, live, now)
		}
		return len(m.owners(live))
	}
	if got := share(fullBatch, fullBatch); got != 1 {
		t.Errorf("%d share because of what workers without partitions say", got)
	}
	m.sharers = 2
	if got := share(fullBatch/2, fullBatch); got != 2 {
		t.Errorf("%d share where the second has half a batch", got)
	}
	if got := share(fullBatch, 0); got != 3 {
		t.Errorf("%d share where the second has too much", got)
	}
	if got := share(0, 0); got != 1 {
		t.Errorf("%d share where nobody has anything", got)
	}
}

// A worker says what it had since it last said so: on average, and at least of late.
func TestBacklogIsAnnounced(t *testing.T) {
	now := time.Now()
	m := newMembership("2", now)
	m.receive(says("1", 1, 0), now)
	live, _ := m.list(now)
	for _, tt := range []struct {
		backlogs       []int
		average, least int32
	}{
		{[]int{10, 20, 60}, 30, 0},
		{nil, 0, 0},
		{[]int{5, 80, 70, 100, 90}, 69, 70},
		{[]int{80, 70, 100, 90, 5}, 69, 5}, // it was a moment's
	} {
		for _, backlog := range tt.backlogs {
			m.sample(backlog, live, now)
		}
		p := m.announcement(typeHello)
		if p.Headers[headerBacklog] != tt.average || p.Headers[headerLeast] != tt.least {
			t.Errorf("after %v it says %v", tt.backlogs, p.Headers)
		}
	}
}

// What a worker has said before the leader's last decision causes no other one.
func TestOneAnnouncementDecidesOnce(t *testing.T) {
	now := time.Now()
	m := newMembership("1", now)
	m.sharers = 2
	for _, id := range []string{"2", "3", "4", "5", "6", "7", "8"} {
		m.receive(says(id, 2, 0), now)
	}
	m.receive(says("2", 2, 10*fullBatch), now)
	changes := 0
	for range 2 * busySamples {
		now = now.Add(sampleInterval)
		live, _ := m.list(now)
		if m.sample(0, live, now) {
			changes++
		}
	}
	if changes != 1 || m.sharers != 4 {
		t.Errorf("%d changes, and %d share", changes, m.sharers)
	}
}

// A leader that was without a connection finds the others where they were, and one that
// sees them gone for a while does not forget how many shared.
func TestLeaderWasAway(t *testing.T) {
	now := time.Now()
	m := newMembership("1", now)
	m.sharers = 2
	m.receive(says("2", 2, 0), now)
	now = now.Add(time.Minute)
	m.connected(now)
	if live, _ := m.list(now); len(m.owners(live)) != 2 {
		t.Errorf("after a minute without a connection %v own", m.owners(live))
	}
	now = now.Add(memberTimeout + time.Second)
	live, _ := m.list(now)
	if m.sample(0, live, now) || len(live) != 1 {
		t.Errorf("%v live, and %d share", live, m.sharers)
	}
	m.receive(says("2", 2, 0), now)
	if live, _ = m.list(now); len(m.owners(live)) != 2 {
		t.Errorf("when the other is back %v own", m.owners(live))
	}
}

// A worker that leads because its clock is behind goes on with as many as shared.
func TestNewcomerLeads(t *testing.T) {
	now := time.Now()
	m := newMembership("1", now)
	m.receive(says("2", 2, 0), now)
	if live, _ := m.list(now); len(m.owners(live)) != 2 {
		t.Errorf("%v own", m.owners(live))
	}
}

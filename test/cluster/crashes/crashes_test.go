package crashes

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// Every process of Hikyaku is killed, one after the other, and comes back.
func TestKilledProcesses(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	for _, m := range s.Members("") {
		tr.SendMore()
		clustertest.NoError(t, m.Kill())
		began := time.Now()
		tr.AwaitDelivery() // without it
		t.Logf("%s: %v until all went on without it", m.Name(), time.Since(began).Round(time.Millisecond))
		clustertest.NoError(t, m.Start(t.Context()))
		t.Logf("%s: ready again after %v", m.Name(), time.Since(began).Round(time.Millisecond))
	}
	tr.AwaitDelivery()
	tr.Verify()
}

// Each worker hangs for a while under load: within 10 s, and while it hangs, another
// one stores and announces what comes to its partitions. What it still has in work
// when it goes on does no harm.
func TestHungWorkers(t *testing.T) {
	s := clustertest.Shared(t)
	all := newEveryPartition(t, s)
	tr := s.StartTraffic(t)
	for _, m := range s.Members("worker") {
		var took, undisturbed time.Duration
		// Workers share the partitions by and by; one that has none yet is not missed.
		eventually.True(t, m.Name()+" has partitions", func() bool {
			tr.SendMore()
			undisturbed = all.deliver() // what this machine takes anyway is not the system's
			clustertest.NoError(t, m.Pause())
			if took = all.deliver(); took > time.Second+undisturbed {
				return true
			}
			clustertest.NoError(t, m.Resume())
			return false
		})
		t.Logf("%s hung: %v until every partition went on (%v before)", m.Name(), took.Round(time.Millisecond), undisturbed.Round(time.Millisecond))
		if took > 10*time.Second+undisturbed {
			t.Errorf("%s hung: a partition stood still for %v", m.Name(), took)
		}
		clustertest.NoError(t, m.Resume())
		tr.AwaitDelivery()
	}
	tr.AwaitDelivery()
	tr.Verify()
}

// everyPartition is two users with a conversation in each of the broker's
// partitions.
type everyPartition struct {
	t      *testing.T
	sender *syncclient.Client
	rooms  map[int]chat.ConversationID // by partition
	rounds int

	mu       sync.Mutex
	received map[chat.ConversationID]string // the text of the last message
}

func newEveryPartition(t *testing.T, s *clustertest.System) *everyPartition {
	t.Helper()
	p := &everyPartition{t: t, rooms: map[int]chat.ConversationID{}, received: map[chat.ConversationID]string{}}
	sender, receiver := s.Register(t), s.Register(t)
	for partitions := (rabbitmq.Config{}).WithDefaults().Partitions; len(p.rooms) < partitions; {
		g, err := sender.CreateGroup(t.Context(), "partition", receiver.Me().ID)
		clustertest.NoError(t, err)
		p.rooms[broker.Partition(g.ID, partitions)] = g.ID
	}
	start := func(c *client.Client, onMessage func(wire.Message)) *syncclient.Client {
		d, err := syncclient.Start(c, syncclient.Config{FromStart: true, OnMessage: onMessage})
		clustertest.NoError(t, err)
		t.Cleanup(d.Close)
		return d
	}
	p.sender = start(sender, func(wire.Message) {})
	start(receiver, func(m wire.Message) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.received[m.Conversation] = m.Body
	})
	return p
}

// deliver sends a message to each partition. It returns how long it took until the
// last was received.
func (p *everyPartition) deliver() time.Duration {
	p.t.Helper()
	p.rounds++
	body := fmt.Sprint(p.rounds)
	began := time.Now()
	for _, id := range p.rooms {
		p.sender.Send(id, body)
	}
	eventually.Nil(p.t, "a message of each partition is received", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for partition, id := range p.rooms {
			if p.received[id] != body {
				return fmt.Errorf("not that of partition %d", partition)
			}
		}
		return nil
	})
	return time.Since(began)
}

package nodes

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// Three nodes of RabbitMQ and a Redis Cluster: any node may go. That each node of
// RabbitMQ may, and what that does to the queues, is tested with the broker; here
// everything else meets it.
func TestNodesGo(t *testing.T) {
	s, err := clustertest.Start(stack.Options{RabbitMQNodes: 3, RedisCluster: true})
	clustertest.NoError(t, err)
	tr := s.StartTraffic(t)
	began := time.Now()
	step := func(what string) {
		t.Helper()
		t.Logf("%s, after %v", what, time.Since(began).Round(time.Millisecond))
		began = time.Now()
	}
	tr.SendMore()
	noError, first, second := clustertest.NoError, s.RabbitMQ[0], s.RabbitMQ[1]
	noError(t, first.Kill())
	tr.AwaitDelivery() // whichever queues it led
	step("all went on without " + first.Name())
	noError(t, first.Start(t.Context()))
	step(first.Name() + " started again")
	tr.AwaitDelivery()
	noError(t, second.Kill()) // the first leads now, or the third
	tr.AwaitDelivery()
	step("all went on without " + second.Name())
	noError(t, s.Redis[1].Kill())
	tr.AwaitDelivery()
	step("all went on without a part of Redis")
	noError(t, s.Redis[1].Start(t.Context()))
	tr.AwaitDelivery()
	tr.Verify()
	noError(t, s.Close())
}

// Each node of RabbitMQ hangs for a while, whatever it leads and whoever is
// connected to it: within 5 s messages are accepted again for everybody, while it
// hangs. What it still has when it goes on does no harm.
func TestRabbitMQNodesHang(t *testing.T) {
	s, err := clustertest.Start(stack.Options{RabbitMQNodes: 3})
	clustertest.NoError(t, err)
	tr := s.StartTraffic(t)
	for i, n := range s.RabbitMQ {
		// What this machine takes anyway is not the system's.
		tr.Silence()
		for range 3 {
			tr.SendMore()
		}
		undisturbed := tr.Silence()
		clustertest.NoError(t, n.Pause())
		began := time.Now()
		tr.AwaitAccepted()
		if i == 0 { // for long: the other nodes take it for dead as well
			tr.AwaitDelivery() // also by workers that were connected to it
			t.Logf("all was delivered again after %v", time.Since(began).Round(time.Millisecond))
			for time.Since(began) < 20*time.Second {
				tr.SendMore()
			}
		}
		silence := tr.Silence()
		t.Logf("%s hung for %v: nothing accepted for %v at most (%v before)",
			n.Name(), time.Since(began).Round(time.Millisecond), silence.Round(time.Millisecond), undisturbed.Round(time.Millisecond))
		if silence > 5*time.Second+undisturbed {
			t.Errorf("%s hung: nothing was accepted for %v", n.Name(), silence)
		}
		began = time.Now()
		clustertest.NoError(t, stack.ResumeRabbitMQ(t.Context(), s.RabbitMQ, n))
		tr.AwaitDelivery()
		t.Logf("%s is back after %v", n.Name(), time.Since(began).Round(time.Millisecond))
	}
	tr.AwaitDelivery()
	tr.Verify()
	clustertest.NoError(t, s.Close())
}

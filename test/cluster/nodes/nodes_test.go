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
	clustertest.Must(t, err)
	tr := s.Begin(t)
	began := time.Now()
	step := func(what string) {
		t.Helper()
		t.Logf("%s, after %v", what, time.Since(began).Round(time.Millisecond))
		began = time.Now()
	}
	tr.While()
	must, first, second := clustertest.Must, s.RabbitMQ[0], s.RabbitMQ[1]
	must(t, first.Kill())
	tr.Flows() // whichever queues it led
	step("all went on without " + first.Name())
	must(t, first.Start(t.Context()))
	step(first.Name() + " started again")
	tr.Flows()
	must(t, second.Kill()) // the first leads now, or the third
	tr.Flows()
	step("all went on without " + second.Name())
	must(t, s.Redis[1].Kill())
	tr.Flows()
	step("all went on without a part of Redis")
	must(t, s.Redis[1].Start(t.Context()))
	tr.Flows()
	tr.Verify()
	must(t, s.End())
}

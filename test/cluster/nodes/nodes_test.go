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

package faults

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// The only Redis is killed and comes back empty: nobody is logged out, and
// what is said goes on.
func TestRedisComesBackEmpty(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	tr.SendMore()
	clustertest.NoError(t, s.Redis[0].Kill())
	// Without Redis messages are still accepted and stored.
	tr.AwaitDelivery()
	clustertest.NoError(t, s.Redis[0].Start(t.Context()))
	tr.AwaitDelivery()
	tr.Verify()
}

// The only Redis hangs: it takes connections and answers nobody. What waits for
// it gives up soon enough for messages to go on.
func TestRedisHangs(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	tr.SendMore()
	clustertest.NoError(t, s.Redis[0].Pause())
	began := time.Now()
	tr.AwaitDelivery()
	t.Logf("%v until messages went on without Redis", time.Since(began).Round(time.Millisecond))
	clustertest.NoError(t, s.Redis[0].Resume())
	tr.AwaitDelivery()
	tr.Verify()
}

// The only RabbitMQ is killed: nothing is accepted meanwhile that could get
// lost, and all goes on when it is back.
func TestRabbitMQDies(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	tr.SendMore()
	clustertest.NoError(t, s.RabbitMQ[0].Kill())
	tr.AwaitSent(50) // nobody stops for it
	clustertest.NoError(t, s.RabbitMQ[0].Start(t.Context()))
	tr.AwaitDelivery()
	tr.Verify()
}

// PostgreSQL is stopped at once and started again: the queue keeps what was
// accepted.
func TestPostgreSQLDies(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	tr.SendMore()
	clustertest.NoError(t, s.Postgres.Kill())
	tr.AwaitSent(50) // nobody stops for it
	clustertest.NoError(t, s.Postgres.Start(t.Context()))
	tr.AwaitDelivery()
	tr.Verify()
}

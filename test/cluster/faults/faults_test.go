package faults

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// The only Redis is killed and restarts empty: nobody is logged out, and messages
// are still delivered.
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

// The only RabbitMQ is killed: nothing that could get lost is accepted meanwhile,
// and everything works again after its restart.
func TestRabbitMQDies(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	tr.SendMore()
	clustertest.NoError(t, s.RabbitMQ[0].Kill())
	tr.AwaitSent(50) // users go on sending
	clustertest.NoError(t, s.RabbitMQ[0].Start(t.Context()))
	tr.AwaitDelivery()
	tr.Verify()
}

// PostgreSQL is killed and restarted: the queue keeps what was accepted.
func TestPostgreSQLDies(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	tr.SendMore()
	clustertest.NoError(t, s.Postgres.Kill())
	tr.AwaitSent(50) // users go on sending
	clustertest.NoError(t, s.Postgres.Start(t.Context()))
	tr.AwaitDelivery()
	tr.Verify()
}

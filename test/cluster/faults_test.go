package cluster

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// while lets some traffic pass: faults must meet a system at work.
func (tr *traffic) while() {
	tr.t.Helper()
	time.Sleep(300*time.Millisecond + rand.N(400*time.Millisecond))
	tr.flows()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stopped stops a process as an operator does.
func stopped(t *testing.T, m *stack.Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, m.Stop(ctx))
}

// Every process of Hikyaku is killed, one after the other, and comes back.
func TestKilledProcesses(t *testing.T) {
	s := cluster(t)
	tr := s.begin(t)
	for _, m := range s.Members("") {
		tr.while()
		must(t, m.Kill())
		began := time.Now()
		tr.flows() // without it
		t.Logf("%s: %v until all went on without it", m.Name(), time.Since(began).Round(time.Millisecond))
		must(t, m.Start(t.Context()))
		t.Logf("%s: ready again after %v", m.Name(), time.Since(began).Round(time.Millisecond))
	}
	tr.flows()
	tr.verify()
}

// Every process is stopped and started anew, as a new release is rolled out.
func TestRollingRestart(t *testing.T) {
	s := cluster(t)
	tr := s.begin(t)
	for _, m := range s.Members("") {
		tr.while()
		stopped(t, m)
		must(t, m.Start(t.Context()))
	}
	tr.flows()
	tr.verify()
}

// Processes are added and taken away.
func TestScaling(t *testing.T) {
	s := cluster(t)
	tr := s.begin(t)
	for _, roles := range []string{"worker", "gateway", "api,ui"} {
		first, err := s.Add(t.Context(), roles)
		must(t, err)
		tr.while()
		second, err := s.Add(t.Context(), roles)
		must(t, err)
		tr.while()
		must(t, s.Remove(t.Context(), first))
		tr.while()
		must(t, s.Remove(t.Context(), second))
	}
	tr.flows()
	tr.verify()
}

// The only Redis is killed and comes back empty: nobody is logged out, and
// what is said goes on.
func TestRedisComesBackEmpty(t *testing.T) {
	s := cluster(t)
	tr := s.begin(t)
	tr.while()
	must(t, s.Redis[0].Kill())
	// Without Redis messages are still accepted and stored.
	tr.flows()
	must(t, s.Redis[0].Start(t.Context()))
	tr.flows()
	tr.verify()
}

// The only Redis hangs: it takes connections and answers nobody. What waits for
// it gives up soon enough for messages to go on.
func TestRedisHangs(t *testing.T) {
	s := cluster(t)
	tr := s.begin(t)
	tr.while()
	must(t, s.Redis[0].Pause())
	began := time.Now()
	tr.flows()
	t.Logf("%v until messages went on without Redis", time.Since(began).Round(time.Millisecond))
	must(t, s.Redis[0].Resume())
	tr.flows()
	tr.verify()
}

// The only RabbitMQ is killed: nothing is accepted meanwhile that could get
// lost, and all goes on when it is back.
func TestRabbitMQDies(t *testing.T) {
	s := cluster(t)
	tr := s.begin(t)
	tr.while()
	must(t, s.RabbitMQ[0].Kill())
	time.Sleep(time.Second)
	must(t, s.RabbitMQ[0].Start(t.Context()))
	tr.flows()
	tr.verify()
}

// PostgreSQL is stopped at once and started again: the queue keeps what was
// accepted.
func TestPostgreSQLDies(t *testing.T) {
	s := cluster(t)
	tr := s.begin(t)
	tr.while()
	must(t, s.Postgres.Kill())
	time.Sleep(time.Second)
	must(t, s.Postgres.Start(t.Context()))
	tr.flows()
	tr.verify()
}

// Three nodes of RabbitMQ and a Redis Cluster: any node may go.
func TestNodesGo(t *testing.T) {
	s, err := start(stack.Options{RabbitMQNodes: 3, RedisCluster: true})
	must(t, err)
	tr := s.begin(t)
	for _, node := range s.RabbitMQ {
		tr.while()
		began := time.Now()
		must(t, node.Kill())
		tr.flows() // whichever queues it led
		t.Logf("%s: %v until all went on without it", node.Name(), time.Since(began).Round(time.Millisecond))
		must(t, node.Start(t.Context()))
		t.Logf("%s: started again after %v", node.Name(), time.Since(began).Round(time.Millisecond))
		tr.flows()
		t.Logf("%s: %v until all went on with it", node.Name(), time.Since(began).Round(time.Millisecond))
	}
	tr.while()
	began := time.Now()
	must(t, s.Redis[1].Kill())
	tr.flows()
	t.Logf("redis: %v until all went on without it", time.Since(began).Round(time.Millisecond))
	must(t, s.Redis[1].Start(t.Context()))
	tr.flows()
	tr.verify()
	must(t, s.end())
}

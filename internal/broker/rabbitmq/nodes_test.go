package rabbitmq_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// Nodes of a cluster die under traffic, the leader of the queues too.
func TestNodesDie(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	f := stacktest.Folder(t)
	nodes, err := stack.StartRabbitMQ(t.Context(), f, 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg := rabbitmq.Config{Partitions: 4}
	for _, n := range nodes {
		cfg.URLs = append(cfg.URLs, n.URL())
	}
	publisher := open(t, cfg)
	r := newRecorder()
	r.consume(t.Context(), t, "one", open(t, cfg))
	r.consume(t.Context(), t, "two", open(t, cfg))
	ids := conversations(1, 8)
	tr := startTraffic(t, publisher, ids...)
	moves := func(what string) {
		t.Helper()
		r.awaitMore(t, what, 50, ids)
	}
	moves("it runs")
	for i, n := range nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		moves("it continues without " + n.Name())
		if i == len(nodes)-1 {
			break // the last may stay down
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	moves("it continues")
	r.check(t, tr.stopAndCount())
}

// Each node of a cluster hangs for a while, under traffic of publishers and workers
// on all of them: messages are confirmed again within 5 s, while it hangs. What the node
// still has when it goes on does no harm.
func TestNodesHang(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	nodes, err := stack.StartRabbitMQ(t.Context(), stacktest.Folder(t), 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg := rabbitmq.Config{Partitions: 4}
	for _, n := range nodes {
		cfg.URLs = append(cfg.URLs, n.URL())
	}
	r := newRecorder()
	r.consume(t.Context(), t, "one", open(t, cfg))
	r.consume(t.Context(), t, "two", open(t, cfg))
	const each = 8
	all := conversations(1, 4*each)
	var publishers []*traffic
	for ids := range slices.Chunk(all, each) {
		publishers = append(publishers, startTraffic(t, open(t, cfg), ids...))
	}
	silence := func() (longest time.Duration) {
		for _, tr := range publishers {
			longest = max(longest, tr.resetSilence())
		}
		return longest
	}
	r.awaitMore(t, "it runs", 5, all)
	silence()
	r.awaitMore(t, "it runs undisturbed", 200, all)
	undisturbed := silence()
	for _, n := range nodes {
		if err := n.Pause(); err != nil {
			t.Fatal(err)
		}
		for _, tr := range publishers {
			tr.awaitMore(t, "messages are confirmed without "+n.Name(), 20)
		}
		longest := silence()
		t.Logf("%s hung: %v without a confirmation at most, %v before", n.Name(), longest, undisturbed)
		if longest > 5*time.Second+undisturbed {
			t.Errorf("%v without a confirmation while %s hung", longest, n.Name())
		}
		if err := stack.ResumeRabbitMQ(t.Context(), nodes, n); err != nil {
			t.Fatal(err)
		}
		r.awaitMore(t, "it continues with "+n.Name(), 100, all)
		silence()
	}
	for _, tr := range publishers {
		r.check(t, tr.stopAndCount())
	}
}

package rabbitmq

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

// A worker that gives partitions up, or whose channel is lost, waits for no batch in
// progress: others hear of it meanwhile, and get what it does not hang on.
func TestSubscriptionsCloseBesideEachOther(t *testing.T) {
	t.Parallel() // it has a virtual host of its own
	conn := connection(t)
	const partitions = 3
	if err := declareTopology(conn, partitions, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	hanging, release := make(chan struct{}, 1), make(chan struct{})
	var handled atomic.Int64
	hung := newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		if handled.Add(1) == 1 {
			hanging <- struct{}{}
			<-release
		}
		return make([]*chat.Error, len(batch)), nil
	})
	free := newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		return make([]*chat.Error, len(batch)), nil
	})
	t.Cleanup(start(t, hung))
	t.Cleanup(start(t, free))
	subscriptions := []*subscription{
		{conn: conn, partition: 0, batcher: hung}, {conn: conn, partition: 1, batcher: hung}, {conn: conn, partition: 2, batcher: free},
	}
	for _, s := range subscriptions {
		if err := s.ensure(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	publisher := &lane{uplink: &uplink{}}
	b := &Broker{}
	publisher.uplink.session.Store(&session{conn: conn, lost: make(chan struct{})})
	if err := publisher.open(b); err != nil {
		t.Fatal(err)
	}
	m := message(1, "hangs")
	if _, err := publisher.send(t.Context(), &partition{number: 0}, appendSubmission(beginBatch(nil), &m)); err != nil {
		t.Fatal(err)
	}
	eventually.Receive(t, "a batch hangs", hanging)

	returned := make(chan struct{})
	go func() {
		defer close(returned)
		for _, s := range subscriptions {
			s.yield(time.Now())
		}
	}()
	select {
	case <-returned:
	case <-eventually.Context(t).Done():
		close(release)
		t.Fatal("giving partitions up waits for a batch that hangs")
	}
	ensure := func(s *subscription) bool {
		if err := s.ensure(time.Now()); err != nil {
			t.Error(err)
		}
		return s.active()
	}
	eventually.True(t, "a partition beside is given up and taken again", func() bool { return ensure(subscriptions[2]) })
	if ensure(subscriptions[0]) {
		t.Error("a partition is taken again while a batch of it is in progress")
	}
	close(release)
	for _, s := range subscriptions {
		eventually.True(t, "what hung no more is taken again", func() bool { return ensure(s) })
	}
	// The channel is lost.
	if err := subscriptions[0].ch.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "a lost channel is replaced", func() bool { return ensure(subscriptions[0]) })
	closeAll(subscriptions)
	for _, s := range subscriptions {
		if s.active() {
			t.Error("a subscription that was closed is active")
		}
	}
}

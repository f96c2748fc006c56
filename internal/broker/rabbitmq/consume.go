package rabbitmq

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/linger"
)

// Consume implements [broker.Consumer].
//
// One call of Consume is one worker. It has three parts: its membership says
// which partitions it should own (membership.go), a subscription for each
// partition receives deliveries (subscription.go), and a batcher handles and
// acknowledges them (batcher.go).
func (b *Broker) Consume(ctx context.Context, handle broker.Handler) error {
	b.consumers.Add(1)
	defer b.consumers.Add(-1)
	dial := func(ctx context.Context) (*nodeConnection, error) { return b.nodes.dial(ctx, "worker") }
	conn, err := dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		// Open has reached the broker before, so it is expected to come back.
		b.log.Warn("a worker cannot reach RabbitMQ; trying again", "error", err)
	}
	id, err := uuid.NewV7() // later ones are greater
	if err != nil {
		return fmt.Errorf("make an id for a worker: %w", err)
	}
	w := &worker{b: b, members: newMembership(id.String(), time.Now()), batcher: newBatcher(batcherConfig{
		Handle: handle, PublishDeadLetters: b.publishDeadLetters, Concurrency: b.cfg.Concurrency, MaxBatch: b.cfg.MaxBatch,
		Prefetch: prefetch(b.cfg.Partitions), Linger: linger.New(b.cfg.Linger), Logger: b.log,
	})}
	var running sync.WaitGroup
	running.Go(func() { w.batcher.run(ctx) })
	supervise(ctx, dial, "worker", b.log, conn, w.serve)
	running.Wait()
	return nil
}

// worker is one call of [Broker.Consume].
type worker struct {
	b       *Broker
	members *membership
	batcher *batcher
}

// serve consumes on one connection until it is lost or ctx ends. Before it
// returns, batches in progress are finished and acknowledged.
func (w *worker) serve(ctx context.Context, conn *amqp.Connection) error {
	lost := conn.NotifyClose(make(chan *amqp.Error, 1))
	if err := declareTopology(conn, w.b.cfg.Partitions, w.b.log); err != nil {
		return err
	}
	peers, err := joinPeers(conn)
	if err != nil {
		return err
	}
	w.members.connected(time.Now())
	subscriptions := make([]*subscription, w.b.cfg.Partitions)
	for p := range subscriptions {
		subscriptions[p] = &subscription{conn: conn, partition: p, batcher: w.batcher}
	}
	defer func() {
		closeAll(subscriptions)
		peers.announce(w.members.announcement(typeBye))
	}()
	peers.announce(w.members.announcement(typeHello))
	hello := time.NewTicker(helloInterval)
	defer hello.Stop()
	sample := time.NewTicker(sampleInterval)
	defer sample.Stop()
	var balanced []string // the owners of the last rebalance on this connection
	consuming := false
	for {
		now := time.Now()
		live, settled := w.members.list(now)
		if owners := w.members.owners(live); settled && !slices.Equal(owners, balanced) {
			balanced = owners
			for _, s := range subscriptions {
				if owner(owners, s.partition) != w.members.self {
					s.yield(now.Add(rebalanceDelay))
				}
			}
		}
		for _, s := range subscriptions {
			if err := s.ensure(now); err != nil {
				return err
			}
		}
		if !consuming {
			consuming = true
			w.b.consuming.Add(1)
			defer w.b.consuming.Add(-1)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return closeError(err)
		case <-hello.C:
			peers.announce(w.members.announcement(typeHello))
		case m, ok := <-peers.announcements:
			if !ok {
				return errOutcomeUnknown
			}
			w.members.receive(m, time.Now())
		case <-sample.C:
			if w.members.sample(w.batcher.backlog(), live, time.Now()) {
				w.b.log.Info("another number of workers shares the partitions", "workers", w.members.sharers, "live", len(live))
				peers.announce(w.members.announcement(typeHello))
			}
		}
	}
}

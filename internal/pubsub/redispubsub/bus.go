// Package redispubsub is the bus of a cluster, on Redis' sharded Pub/Sub: a channel
// for each node and one for all. What gathered for a channel while the last
// messages were on their way goes out as one message, or a few when it is much.
//
// Redis gives each message to those who listen at the moment, once, or never.
// So every publisher numbers its messages on each channel, and says once a
// second which numbers it has used: a node knows of a loss from a number that
// is missing, also when nothing came after it, and from its own subscription
// having been interrupted.
package redispubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
)

const (
	// DefaultQueue is how many envelopes may wait for a node, and how many
	// for Redis.
	DefaultQueue = 16_384
	// grace is how long a number that a heartbeat told of may be under way:
	// in a Cluster the two take different ways.
	grace = 500 * time.Millisecond

	sendTimeout = time.Second
	// everyone is the name of the channel of all nodes.
	everyone = "*"
)

var (
	errClosed = errors.New("the bus is closed")
	errFull   = errors.New("too much waits for Redis")
)

// Bus is the bus on Redis. See [New].
type Bus struct {
	client *redisconn.Client
	log    *slog.Logger
	queue  int

	mu     sync.Mutex
	closed bool
	outbox *outbox
	wake   batching.Signal
	nodes  map[string]*node

	stop context.CancelFunc
	done sync.WaitGroup
}

var _ pubsub.Bus = (*Bus)(nil)

// New makes a bus on which queue envelopes may wait for each node; 0 means
// [DefaultQueue]. The client stays the caller's.
func New(client *redisconn.Client, queue int, log *slog.Logger) *Bus {
	if queue <= 0 {
		queue = DefaultQueue
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Bus{
		client: client, log: log, queue: queue, outbox: newOutbox(rand.Uint64()),
		wake: batching.NewSignal(), nodes: map[string]*node{}, stop: stop,
	}
	b.done.Go(func() { b.send(ctx) })
	return b
}

func (b *Bus) channelName(node string) string { return b.client.Channel("bus:{" + node + "}") }

// Publish implements [pubsub.Bus].
func (b *Bus) Publish(_ context.Context, node string, e *pubsub.Envelope) error {
	return b.put(node, e)
}

// Broadcast implements [pubsub.Bus].
func (b *Bus) Broadcast(_ context.Context, e *pubsub.Envelope) error { return b.put(everyone, e) }

func (b *Bus) put(node string, e *pubsub.Envelope) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	if err := b.outbox.put(node, e); err != nil {
		return err
	}
	b.wake.Notify()
	return nil
}

// send sends what gathers, and the heartbeats.
func (b *Bus) send(ctx context.Context) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	failing := false
	for {
		var messages []message
		var telling []*channel
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			messages, telling = b.heartbeat()
		case <-b.wake:
			messages = b.gathered()
		}
		if len(messages) == 0 {
			continue
		}
		failure := b.deliver(ctx, messages)
		if failure == nil {
			b.mu.Lock()
			told(telling, time.Now())
			b.mu.Unlock()
		}
		if failure != nil && !failing && ctx.Err() == nil {
			b.log.Error("the bus cannot send; devices will catch up", "error", failure)
		}
		failing = failure != nil
	}
}

// gathered makes messages of what waits.
func (b *Bus) gathered() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outbox.gathered()
}

// heartbeat tells of the channels that it gives; of none there is nothing to
// send.
func (b *Bus) heartbeat() ([]message, []*channel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, of := b.outbox.heartbeat(time.Now())
	if len(of) == 0 {
		return nil, nil
	}
	return []message{m}, of
}

// deliver gives messages to Redis. After an error some of them may be lost.
func (b *Bus) deliver(ctx context.Context, messages []message) (failure error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	commands := make(rueidis.Commands, len(messages))
	for i, m := range messages {
		commands[i] = b.client.B().Spublish().Channel(b.channelName(m.node)).Message(rueidis.BinaryString(m.bytes)).Build()
	}
	for _, result := range b.client.DoMulti(ctx, commands...) {
		if failure == nil {
			failure = result.Error() // the others are of the same kind
		}
	}
	return failure
}

// Subscribe implements [pubsub.Bus]. A name can be subscribed once at a time.
func (b *Bus) Subscribe(ctx context.Context, name string, s pubsub.Subscriber) (cancel func(), err error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, errClosed
	}
	if _, taken := b.nodes[name]; taken {
		b.mu.Unlock()
		return nil, fmt.Errorf("a node %q is on the bus already", name)
	}
	n := newNode(name, b.queue, b.log)
	b.nodes[name] = n
	b.mu.Unlock()
	listening, stop := context.WithCancel(context.Background())
	cancel = sync.OnceFunc(func() {
		stop()
		n.end()
		b.mu.Lock()
		delete(b.nodes, name)
		b.mu.Unlock()
	})
	ready := make(chan struct{}, 2)
	for _, channel := range []string{name, everyone} {
		n.running.Go(func() { b.listen(listening, n, channel, ready) })
	}
	n.running.Go(func() { n.run(s) })
	for range 2 {
		select {
		case <-ready:
		case <-ctx.Done():
			cancel()
			return nil, fmt.Errorf("subscribe to the bus: %w", ctx.Err())
		}
	}
	return cancel, nil
}

// listen receives a channel until ctx ends; after an interruption again.
func (b *Bus) listen(ctx context.Context, n *node, name string, ready chan<- struct{}) {
	channel, first := b.channelName(name), true
	for ctx.Err() == nil {
		hooked := rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) {
			if s.Kind != "ssubscribe" || s.Channel != channel {
				return
			}
			if first {
				first = false
				ready <- struct{}{}
				return
			}
			n.interrupted()
		})
		err := b.client.Receive(hooked, b.client.B().Ssubscribe().Channel(channel).Build(), func(m rueidis.PubSubMessage) {
			n.put([]byte(m.Message), name == everyone)
		})
		if ctx.Err() != nil {
			return
		}
		b.log.Warn("the bus was interrupted; subscribing again", "channel", channel, "error", err)
		_ = backoff.Sleep(ctx, 50*time.Millisecond+rand.N(100*time.Millisecond))
	}
}

// Close sends what waits and stops. Subscribers are stopped by their own cancel.
func (b *Bus) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.done.Wait()
	// Nobody tells of what fails now: clients find it with their head check.
	if last := b.gathered(); len(last) > 0 {
		_ = b.deliver(context.Background(), last)
	}
	return nil
}

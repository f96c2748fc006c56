// Package redispubsub implements the bus for a cluster with Redis' sharded
// Pub/Sub: a channel for each node and one for all nodes. What is queued for a
// channel while the previous messages are being sent is sent as one message, or a
// few when it is large.
//
// Redis delivers each message at most once, to the current subscribers. So every
// publisher numbers its messages on each channel, and sends a heartbeat once a
// second with the last numbers. A node detects a loss by a missing number, even
// when nothing follows, and by an interruption of its own subscription.
package redispubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Config configures a bus.
type Config struct {
	Queue  int          // envelopes that may be queued for a node, and as many for all nodes, from 1; default 16,384
	Logger *slog.Logger // default none
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.Queue = cmp.Or(c.Queue, 16_384)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns the first error of a field; a zero is one.
func (c Config) Validate() error {
	return setting.Between("bus-queue", c.Queue, 1, math.MaxInt32, "envelopes that may be queued for a node, such as 16384")
}

const (
	// reorderTimeout is how long a message may arrive later than the heartbeat
	// that contains its number: in a Cluster the two take different routes.
	reorderTimeout = 500 * time.Millisecond

	// checkInterval is how often a node looks for what is missing.
	checkInterval = reorderTimeout / 2
	// echoInterval is how often a node hears from itself.
	echoInterval = 500 * time.Millisecond
	// maxSilentChecks is after how many checks a silent channel counts as
	// interrupted.
	maxSilentChecks = int(pubsub.InterruptionLatency / checkInterval)

	sendTimeout = time.Second // of a pipeline
	// broadcastName is the name of the channel of all nodes.
	broadcastName = "*"
)

var (
	errClosed = errors.New("the bus is closed")
	errFull   = errors.New("too much is queued for Redis")
)

// Bus is a bus on Redis. See [New].
type Bus struct {
	client *redisconn.Client
	log    *slog.Logger
	cfg    Config

	mu     sync.Mutex
	closed bool
	outbox *outbox
	wake   batching.Signal
	nodes  map[string]*node
	// listeners is how many nodes of this process listen to each channel.
	listeners map[string]int

	published batching.Meter

	stop context.CancelFunc
	done sync.WaitGroup
}

var _ pubsub.Bus = (*Bus)(nil)

// New returns a bus. The caller closes the client.
func New(client *redisconn.Client, cfg Config) (*Bus, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Bus{
		client: client, log: cfg.Logger, cfg: cfg, outbox: newOutbox(rand.Uint64()),
		wake: batching.NewSignal(), nodes: map[string]*node{}, listeners: map[string]int{}, stop: stop,
	}
	b.done.Go(func() { b.run(ctx) })
	return b, nil
}

func (b *Bus) channelName(node string) string { return b.client.Channel("bus:{" + node + "}") }

// Publish implements [pubsub.Bus].
func (b *Bus) Publish(_ context.Context, node string, e *pubsub.Envelope) error {
	return b.enqueue(node, e)
}

// Broadcast implements [pubsub.Bus].
func (b *Bus) Broadcast(_ context.Context, e *pubsub.Envelope) error {
	return b.enqueue(broadcastName, e)
}

// Published returns how many messages Redis has taken from this process, besides
// heartbeats, and how many items of envelopes were in them.
func (b *Bus) Published() (messages, items uint64) { return b.published.Totals() }

func (b *Bus) enqueue(node string, e *pubsub.Envelope) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	if err := b.outbox.enqueue(node, e); err != nil {
		return err
	}
	b.wake.Notify()
	return nil
}

// run sends what is queued, and the heartbeats.
func (b *Bus) run(ctx context.Context) {
	tick := time.NewTicker(heartbeatInterval)
	defer tick.Stop()
	echo := time.NewTicker(echoInterval)
	defer echo.Stop()
	failing := false
	for {
		var messages []message
		var announced []*channel
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			messages, announced = b.heartbeat()
		case <-echo.C:
			messages = b.echoes()
		case <-b.wake:
			messages = b.flush()
		}
		if len(messages) == 0 {
			continue
		}
		err := b.publish(ctx, messages)
		if err == nil {
			b.mu.Lock()
			heartbeatSent(announced, time.Now())
			b.mu.Unlock()
		}
		if err != nil && !failing && ctx.Err() == nil {
			b.log.Error("the bus cannot publish; devices will catch up later", "error", err)
		}
		failing = err != nil
	}
}

// flush returns what is queued as messages.
func (b *Bus) flush() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outbox.flush()
}

// heartbeat returns the heartbeat message and the channels that it announces, or
// nothing when there are none.
func (b *Bus) heartbeat() ([]message, []*channel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, of := b.outbox.heartbeat(time.Now())
	if len(of) == 0 {
		return nil, nil
	}
	return []message{m}, of
}

// echoes returns an empty heartbeat for each channel that a node of this process
// subscribes to, by which the node knows that it is connected.
func (b *Bus) echoes() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.nodes) == 0 {
		return nil
	}
	empty := appendHeader(nil, header{kind: kindHeartbeat, publisher: b.outbox.publisher})
	out := []message{{node: broadcastName, bytes: empty}}
	for name := range b.nodes {
		out = append(out, message{node: name, bytes: empty})
	}
	return out
}

// publish publishes messages. After an error some of them may be lost.
func (b *Bus) publish(ctx context.Context, messages []message) (err error) {
	for len(messages) > 0 {
		n := inOnePipeline(messages)
		if sent := b.publishPipeline(ctx, messages[:n]); sent != nil {
			err = cmp.Or(err, sent)
			if errors.Is(sent, context.DeadlineExceeded) || ctx.Err() != nil {
				return err // the rest would take as long
			}
		}
		messages = messages[n:]
	}
	return err
}

// inOnePipeline returns how many of the messages, one at least, are published
// together.
func inOnePipeline(messages []message) (n int) {
	for size := 0; n < len(messages); n++ {
		if size += len(messages[n].bytes); n > 0 && size > maxPipeline {
			break
		}
	}
	return n
}

func (b *Bus) publishPipeline(ctx context.Context, messages []message) (err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	commands := make(rueidis.Commands, len(messages))
	for i, m := range messages {
		commands[i] = b.client.B().Spublish().Channel(b.channelName(m.node)).Message(rueidis.BinaryString(m.bytes)).Build()
	}
	// While one server of a Cluster hangs, those of the others are not to wait for
	// a connection to it.
	results, err := redisconn.Call(ctx, b.client, 0, func() []rueidis.RedisResult { return b.client.DoMulti(ctx, commands...) })
	for i, result := range results {
		failed := result.Error()
		if failed == nil && messages[i].items > 0 {
			b.published.Count(messages[i].items)
		}
		err = cmp.Or(err, failed) // the others are of the same kind
	}
	return err
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
		return nil, fmt.Errorf("a node %q is subscribed to the bus already", name)
	}
	n := newNode(name, b.cfg.Queue, b.log)
	b.nodes[name] = n
	b.mu.Unlock()
	listening, stop := context.WithCancel(context.Background())
	cancel = sync.OnceFunc(func() {
		stop()
		n.stopAndWait()
		b.mu.Lock()
		delete(b.nodes, name)
		b.mu.Unlock()
	})
	ready := make(chan struct{}, 2)
	for _, channel := range []string{name, broadcastName} {
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

// listen subscribes to a channel until ctx ends, again after an interruption.
func (b *Bus) listen(ctx context.Context, n *node, name string, ready chan<- struct{}) {
	channel, confirmed := b.channelName(name), 0
	b.addListener(channel, 1)
	defer b.addListener(channel, -1)
	for ctx.Err() == nil {
		hooked := rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) {
			if s.Kind != "ssubscribe" || s.Channel != channel {
				return
			}
			// All that listen to a channel over one connection hear of the
			// subscription of each: more of them are after an interruption.
			b.mu.Lock()
			confirmed++
			again := confirmed > b.listeners[channel]
			first := confirmed == 1
			b.mu.Unlock()
			switch {
			case first:
				ready <- struct{}{}
			case again:
				n.markLost()
			}
		})
		err := b.client.Receive(hooked, b.client.B().Ssubscribe().Channel(channel).Build(), func(m rueidis.PubSubMessage) {
			n.enqueue([]byte(m.Message), name == broadcastName)
		})
		if ctx.Err() != nil {
			return
		}
		b.log.Warn("the subscription to the bus was interrupted; subscribing again", "channel", channel, "error", err)
		_ = backoff.Sleep(ctx, 50*time.Millisecond+rand.N(100*time.Millisecond))
	}
}

func (b *Bus) addListener(channel string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners[channel] += n; b.listeners[channel] == 0 {
		delete(b.listeners, channel)
	}
}

// Close sends what is queued and stops. Subscribers are stopped by their own
// cancel.
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
	// Nobody announces what fails now: clients detect it by their check.
	if last := b.flush(); len(last) > 0 {
		_ = b.publish(context.Background(), last)
	}
	return nil
}

// Package localpubsub implements the bus for a system in one process. Each node
// has a bounded queue; when its subscriber falls so far behind that the queue is
// full, further envelopes are lost, and the subscriber is notified of the gap.
package localpubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Config has the bounds of a bus.
type Config struct {
	Queue int // envelopes that may be queued for a node, and as many for all nodes, from 1; default 16,384
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.Queue = cmp.Or(c.Queue, 16_384)
	return c
}

// Validate returns the first error of a field; a zero is one.
func (c Config) Validate() error {
	return setting.Between("bus-queue", c.Queue, 1, math.MaxInt32, "envelopes that may be queued for a node, such as 16384")
}

var errClosed = errors.New("the bus is closed")

// Bus is a bus in one process. See [New].
type Bus struct {
	cfg Config

	mu     sync.RWMutex
	nodes  map[string]*node
	closed bool
}

var _ pubsub.Bus = (*Bus)(nil)

// New returns a bus.
func New(cfg Config) (*Bus, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Bus{cfg: cfg, nodes: map[string]*node{}}, nil
}

type node struct {
	queue     *batching.Lossy[*pubsub.Envelope]
	broadcast *batching.Lossy[*pubsub.Envelope] // goes before queue
	stop      chan struct{}
	done      chan struct{}
}

// Publish implements [pubsub.Bus]. It is an error when the node is not subscribed.
func (b *Bus) Publish(_ context.Context, name string, e *pubsub.Envelope) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return errClosed
	}
	n, ok := b.nodes[name]
	if !ok {
		return fmt.Errorf("no node %q is subscribed to the bus", name)
	}
	n.queue.Add(e, 1)
	return nil
}

// Broadcast implements [pubsub.Bus].
func (b *Bus) Broadcast(_ context.Context, e *pubsub.Envelope) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return errClosed
	}
	for _, n := range b.nodes {
		n.broadcast.Add(e, 1)
	}
	return nil
}

// Subscribe implements [pubsub.Bus]. A name can be subscribed once at a time.
func (b *Bus) Subscribe(_ context.Context, name string, s pubsub.Subscriber) (cancel func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	if _, taken := b.nodes[name]; taken {
		return nil, fmt.Errorf("a node %q is subscribed to the bus already", name)
	}
	n := &node{
		queue: batching.NewLossy[*pubsub.Envelope](b.cfg.Queue), broadcast: batching.NewLossy[*pubsub.Envelope](b.cfg.Queue),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	b.nodes[name] = n
	go n.run(s)
	var once sync.Once
	return func() {
		once.Do(func() {
			b.mu.Lock()
			delete(b.nodes, name)
			b.mu.Unlock()
			close(n.stop)
		})
		<-n.done
	}, nil
}

func (n *node) run(s pubsub.Subscriber) {
	defer close(n.done)
	for {
		select {
		case <-n.stop:
			return
		case <-n.broadcast.Ready():
			n.deliverBroadcast(s)
			continue
		case <-n.queue.Ready():
		}
		envelopes, lost := n.queue.Take()
		for _, e := range envelopes {
			select {
			case <-n.broadcast.Ready():
				n.deliverBroadcast(s)
			default:
			}
			s.Deliver(e)
		}
		if lost {
			s.Gap()
		}
	}
}

func (n *node) deliverBroadcast(s pubsub.Subscriber) {
	envelopes, lost := n.broadcast.Take()
	for _, e := range envelopes {
		s.Deliver(e)
	}
	if lost {
		s.Gap()
	}
}

// Close implements [pubsub.Bus]. Subscribers are stopped by their own cancel.
func (b *Bus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

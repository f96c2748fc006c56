package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Config says which broker to work with, and bounds what waits for it here.
type Config struct {
	URLs         []string // of the nodes: amqp://user:password@host:5672/vhost
	Installation string   // whose messages these are; another one's queues are refused
	Claimed      bool     // the installation has its queues already; a broker without them is refused
	Partitions   int      // N, the same in all processes of an installation; 0 means 16
	MaxQueued    int      // submissions waiting or on their way; 0 means 20,000
	MaxBytes     int      // bytes of their texts; 0 means 64 MiB
	MaxBatch     int      // submissions in one AMQP message, and given to a handler at once; 0 means 500
	Lanes        int      // handlers at work side by side in this process; 0 means 2
	Logger       *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.Partitions, 16)
	set(&c.MaxQueued, 20_000)
	set(&c.MaxBytes, 64<<20)
	set(&c.MaxBatch, 500)
	set(&c.Lanes, 2)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// maxBatchBytes ends a batch early, so that a few long texts do not make one
// AMQP message of megabytes.
const maxBatchBytes = 128 << 10

// confirmTimeout is how long a batch may be on its way. A quorum queue without
// a majority never answers.
const confirmTimeout = 10 * time.Second

var (
	errBusy      = chat.Refuse(chat.CodeOverloaded, "", "too many messages are waiting for the broker")
	errFull      = chat.Refuse(chat.CodeOverloaded, "", "the broker's queue is full")
	errAway      = chat.Refuse(chat.CodeUnavailable, "", "the broker is away")
	errStop      = chat.Refuse(chat.CodeUnavailable, "", "the server is stopping")
	errNotServed = errors.New("RabbitMQ does not let this process consume; its log says why")
	errUnknown   = errors.New("the connection to the broker was lost before it confirmed")
)

// Broker is the broker on RabbitMQ. See [Open].
type Broker struct {
	cfg        Config
	log        *slog.Logger
	partitions []*partition
	window     *window // of batches on their way
	pushes     *Pushes

	queued  atomic.Int64
	bytes   atomic.Int64
	blocked atomic.Bool

	consumers atomic.Int32 // calls of Consume, of messages and of pushes
	consuming atomic.Int32 // of them, those that RabbitMQ serves now

	mu      sync.RWMutex // held for reading by Publish, so that Close sees all of them
	closed  bool
	session *session // nil while the broker is away

	idle      batching.Signal // when the last queued submission is done
	stop      context.CancelFunc
	done      sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

var _ broker.Broker = (*Broker)(nil)

// Open connects and makes the queues that are missing. A broker that goes away
// later is waited for.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	cfg = cfg.withDefaults()
	conn, err := dial(ctx, cfg.URLs, "publisher")
	if err != nil {
		return nil, err
	}
	if err := claim(conn, cfg.Installation, cfg.Claimed); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	b := &Broker{cfg: cfg, log: cfg.Logger, idle: batching.NewSignal()}
	b.window = newWindow(cfg.Partitions, 2)
	b.partitions = make([]*partition, cfg.Partitions)
	for i := range b.partitions {
		b.partitions[i] = &partition{number: i, queue: batching.NewQueue[entry]()}
	}
	b.pushes = newPushes(b)
	session, err := b.begin(conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	b.session = session
	running, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.done.Go(func() {
		supervise(running, cfg.URLs, "publisher", b.log, conn, func(ctx context.Context, conn *amqp.Connection) error {
			return b.publishOn(ctx, conn)
		})
	})
	for _, p := range b.partitions {
		b.done.Go(func() { b.send(running, p) })
	}
	b.done.Go(func() { b.pushes.send(running) })
	return b, nil
}

// Ready implements [broker.Broker].
func (b *Broker) Ready(context.Context) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.closed:
		return errStop
	case b.session == nil:
		return errAway
	case b.blocked.Load():
		return errFull
	}
	return nil
}

// Consuming tells whether every Consume of this process, of messages and of
// pushes, is served by RabbitMQ.
func (b *Broker) Consuming(context.Context) error {
	if b.consuming.Load() < b.consumers.Load() {
		return errNotServed
	}
	return nil
}

// Close implements [broker.Broker]. Consumers stop by their own context.
func (b *Broker) Close(ctx context.Context) error {
	b.closeOnce.Do(func() {
		b.mu.Lock()
		b.closed = true
		b.mu.Unlock()
		for b.queued.Load() > 0 && b.closeErr == nil {
			select {
			case <-b.idle:
			case <-ctx.Done():
				b.closeErr = errors.Join(errors.New("messages were not confirmed in time"), ctx.Err())
			}
		}
		b.pushes.close(ctx)
		b.stop()
		b.done.Wait()
		for _, p := range b.partitions {
			b.fail(p.queue.Take(0), errUnknown)
		}
	})
	return b.closeErr
}

package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Config says which broker to work with, and bounds what waits for it here.
type Config struct {
	URLs         []string // of the nodes: amqp://user:password@host:5672/vhost
	Installation string   // whose messages these are; another one's queues are refused
	Claimed      bool     // the installation has its queues already; a broker without them is refused
	Partitions   int      // N, the same in all processes of an installation, 1 to 256; default 16
	MaxQueued    int      // submissions waiting or on their way, from 1; default 20,000
	MaxBytes     int      // bytes of their texts, from 1; default 64 MiB
	MaxBatch     int      // submissions in one AMQP message, and given to a handler at once, from 1; default 500
	Lanes        int      // handlers at work side by side in this process, 1 to 256; default 2
	Logger       *slog.Logger
}

// maxPartitions bounds the queues: each costs every node of RabbitMQ memory
// and work, and more than this brings nothing.
const maxPartitions = 256

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.Partitions = cmp.Or(c.Partitions, 16)
	c.MaxQueued = cmp.Or(c.MaxQueued, 20_000)
	c.MaxBytes = cmp.Or(c.MaxBytes, 64<<20)
	c.MaxBatch = cmp.Or(c.MaxBatch, 500)
	c.Lanes = cmp.Or(c.Lanes, 2)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns the first error of a field; a zero is one.
func (c Config) Validate() error {
	return cmp.Or(
		c.validateBroker(),
		setting.Between("max-queued", c.MaxQueued, 1, math.MaxInt32, "submissions that may wait, such as 20000"),
		setting.Between("max-bytes", c.MaxBytes, 1, math.MaxInt32, "bytes of texts that may wait, such as 67108864"),
		setting.Between("max-batch", c.MaxBatch, 1, math.MaxInt32, "submissions in one AMQP message, such as 500"),
		setting.Between("lanes", c.Lanes, 1, maxPartitions, "handlers side by side, such as 2"),
	)
}

// validateBroker is about what is the same in all processes.
func (c Config) validateBroker() error {
	if len(c.URLs) == 0 {
		return errors.New("broker: no address is given; give one such as amqp://user:password@host:5672/hikyaku")
	}
	return setting.Between("partitions", c.Partitions, 1, maxPartitions, "the number that all processes of the installation have, such as 16")
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
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
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

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
	"github.com/hikyaku-chat/hikyaku/internal/linger"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Config is what a [Broker] connects to, and the bounds of what waits for it in
// this process.
type Config struct {
	URLs         []string // of the nodes: amqp://user:password@host:5672/vhost
	Installation string   // id of the installation that owns the queues; those of another one are refused
	Claimed      bool     // the installation has queues already; a broker without them is refused
	Partitions   int      // the same in all processes of an installation, 1 to 256; default 4
	MaxQueued    int      // submissions that wait or are being published, from 1; default 20,000
	MaxBytes     int      // bytes of their texts, from 1; default 64 MiB
	MaxBatch     int      // submissions in one AMQP message, and in one call of a handler, from 1; default 500
	Concurrency  int      // calls of the handler at the same time in one Consume, 1 to 256; default 2
	// Linger is how long what was delivered waits for company before it is handled, at
	// most (see package linger), to 100 ms; 0 for not at all.
	Linger time.Duration
	// DeadLetterRetention is how long a dead letter is kept, 1 h to 49 days (RabbitMQ
	// counts it in 32 bits of milliseconds); default 30 days, as long as the store
	// remembers a failure. MaxDeadLetters is how many are kept, from 1; default
	// 100,000: the oldest are dropped.
	DeadLetterRetention time.Duration
	MaxDeadLetters      int
	Logger              *slog.Logger
}

// maxPartitions bounds the queues: each costs every node of RabbitMQ memory
// and work, and more than this brings nothing.
const maxPartitions = 256

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.Partitions = cmp.Or(c.Partitions, 4)
	c.MaxQueued = cmp.Or(c.MaxQueued, 20_000)
	c.MaxBytes = cmp.Or(c.MaxBytes, 64<<20)
	c.MaxBatch = cmp.Or(c.MaxBatch, 500)
	c.Concurrency = cmp.Or(c.Concurrency, 2)
	c.DeadLetterRetention = cmp.Or(c.DeadLetterRetention, 30*24*time.Hour)
	c.MaxDeadLetters = cmp.Or(c.MaxDeadLetters, 100_000)
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
		setting.Between("concurrency", c.Concurrency, 1, maxPartitions, "calls of the handler at the same time, such as 2"),
		setting.Between("linger", c.Linger, 0, linger.Max, "how long messages may wait for company, such as 2ms"),
		setting.Between("dead-letter-retention", c.DeadLetterRetention, time.Hour, 49*24*time.Hour, "how long dead letters are kept, such as 720h"),
		setting.Between("max-dead-letters", c.MaxDeadLetters, 1, math.MaxInt32, "dead letters that are kept, such as 100000"),
	)
}

// validateBroker is about what is the same in all processes.
func (c Config) validateBroker() error {
	if len(c.URLs) == 0 {
		return errors.New("broker: no address is given; give one such as amqp://user:password@host:5672/hikyaku")
	}
	return setting.Between("partitions", c.Partitions, 1, maxPartitions, "the number that all processes of the installation have, such as 4")
}

// maxBatchBytes is the size at which a batch ends early, so that a few long texts
// do not make an AMQP message of megabytes.
const maxBatchBytes = 128 << 10

// confirmTimeout is how long a confirmation may take. A quorum queue without a
// majority never confirms.
const confirmTimeout = 10 * time.Second

// patience is how long a node may take to confirm before another one is tried. It is
// that of connections, so that what is cut off costs no more than what hangs.
const patience = maxSilence

// maxUplinks is how many uplinks there are when there are as many nodes.
const maxUplinks = 2

var (
	errOverloaded     = chat.Refuse(chat.CodeOverloaded, "", "too many messages are waiting for the broker")
	errBrokerFull     = chat.Refuse(chat.CodeOverloaded, "", "the broker's queue is full")
	errUnavailable    = chat.Refuse(chat.CodeUnavailable, "", "the broker is unavailable")
	errClosed         = chat.Refuse(chat.CodeUnavailable, "", "the server is stopping")
	errNotConsuming   = errors.New("RabbitMQ does not let this process consume; its log says why")
	errOutcomeUnknown = errors.New("the connection to the broker was lost before it confirmed")
)

// Broker is the broker on RabbitMQ. It is safe for concurrent use. See [Open].
type Broker struct {
	cfg           Config
	log           *slog.Logger
	partitions    []*partition
	publishWindow *window // of batches being published
	nodes         *nodes
	uplinks       []*uplink
	published     batching.Meter
	notifyQueue   *NotifyQueue
	avoidForDead  atomic.Pointer[session] // the last one where a publish of dead letters failed

	queued  atomic.Int64
	bytes   atomic.Int64
	blocked atomic.Int32 // uplinks that RabbitMQ has blocked

	consumers atomic.Int32 // calls of Consume, of messages and of notifications
	consuming atomic.Int32 // of them, those that RabbitMQ serves now

	mu     sync.RWMutex // held for reading by Publish, so that Close sees all of them
	closed bool

	idle      batching.Signal // notified when the last queued submission is done
	stop      context.CancelFunc
	running   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

var _ broker.Broker = (*Broker)(nil)

// Open connects and declares the queues that are missing. A connection that is
// lost later is opened again in the background.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, log: cfg.Logger, nodes: newNodes(cfg.URLs), idle: batching.NewSignal()}
	b.uplinks = make([]*uplink, min(len(cfg.URLs), maxUplinks))
	for i := range b.uplinks {
		b.uplinks[i] = &uplink{}
	}
	b.publishWindow = newWindow(cfg.Partitions, 2)
	b.partitions = make([]*partition, cfg.Partitions)
	for i := range b.partitions {
		p := &partition{number: i, queue: batching.NewQueue[entry]()}
		for _, u := range b.uplinks {
			p.lanes = append(p.lanes, &lane{uplink: u})
		}
		b.partitions[i] = p
	}
	b.notifyQueue = newNotifyQueue(b)
	first, err := b.openFirst(ctx)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	dialUplink := func(ctx context.Context) (*nodeConnection, error) { return b.nodes.dialExclusive(ctx, "publisher") }
	for i, u := range b.uplinks {
		b.running.Go(func() {
			var conn *nodeConnection
			if i == 0 {
				conn = first
			}
			supervise(ctx, dialUplink, "publisher", b.log, conn, func(ctx context.Context, conn *amqp.Connection) error {
				return b.serveSession(ctx, u, conn)
			})
		})
	}
	for _, p := range b.partitions {
		b.running.Go(func() { b.publishLoop(ctx, p) })
	}
	b.running.Go(func() { b.notifyQueue.sendLoop(ctx) })
	return b, nil
}

// openFirst opens the first uplink's session.
func (b *Broker) openFirst(ctx context.Context) (*nodeConnection, error) {
	conn, err := b.nodes.dialExclusive(ctx, "publisher")
	if err != nil {
		return nil, err
	}
	if err = claim(conn.Connection, b.cfg.Installation, b.cfg.Claimed); err == nil {
		var s *session
		if s, err = b.newSession(conn.Connection); err == nil {
			b.uplinks[0].session.Store(s)
			return conn, nil
		}
	}
	conn.end(err)
	return nil, err
}

// Ready implements [broker.Broker].
func (b *Broker) Ready(context.Context) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.closed:
		return errClosed
	case !b.connected():
		return errUnavailable
	case b.blocked.Load() > 0:
		return errBrokerFull
	}
	return nil
}

// Consuming returns nil when RabbitMQ serves every call of Consume of this
// process, of messages and of notifications, and an error otherwise.
func (b *Broker) Consuming(context.Context) error {
	if b.consuming.Load() < b.consumers.Load() {
		return errNotConsuming
	}
	return nil
}

// Close implements [broker.Broker]. Consumers are stopped by their own context.
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
		b.notifyQueue.close(ctx)
		b.stop()
		b.running.Wait()
		for _, p := range b.partitions {
			b.failAll(p.queue.Take(0), errOutcomeUnknown)
		}
	})
	return b.closeErr
}

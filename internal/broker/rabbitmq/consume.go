package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// prefetch is how many AMQP messages of a partition may wait in a worker.
const prefetch = 32

// consumer is a worker's side of one call of Consume.
type consumer struct {
	b      *Broker
	handle broker.Handler
	peers  *peers
	lanes  []*lane
	window *window // of batches in work
}

// Consume implements [broker.Consumer].
func (b *Broker) Consume(ctx context.Context, handle broker.Handler) error {
	b.consumers.Add(1)
	defer b.consumers.Add(-1)
	conn, err := dial(ctx, b.cfg.URLs, "worker")
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		// It was there when the broker was opened, and will be again.
		b.log.Warn("a worker cannot reach RabbitMQ; trying again", "error", err)
	}
	c := &consumer{b: b, handle: handle, peers: newPeers(uuid.NewString(), time.Now())}
	c.window = newWindow(b.cfg.Lanes, 1)
	c.lanes = make([]*lane, b.cfg.Lanes)
	var running sync.WaitGroup
	for i := range c.lanes {
		c.lanes[i] = &lane{c: c, wake: batching.NewSignal()}
		running.Go(func() { c.lanes[i].run(ctx) })
	}
	supervise(ctx, b.cfg.URLs, "worker", b.log, conn, c.serve)
	running.Wait()
	return nil
}

// serve consumes on a connection until it is lost or ctx ends.
func (c *consumer) serve(ctx context.Context, conn *amqp.Connection) error {
	lost := conn.NotifyClose(make(chan *amqp.Error, 1))
	if err := declare(conn, c.b.cfg.Partitions, c.b.log); err != nil {
		return err
	}
	control, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	hellos, err := c.listen(control)
	if err != nil {
		return err
	}
	subscriptions := make([]*subscription, c.b.cfg.Partitions)
	for p := range subscriptions {
		subscriptions[p] = &subscription{conn: conn, partition: p, lane: c.lanes[p%len(c.lanes)]}
	}
	defer func() {
		// What is in work is finished and acknowledged before the
		// connection goes.
		var closing errgroup.Group
		for _, s := range subscriptions {
			closing.Go(func() error { s.close(); return nil })
		}
		_ = closing.Wait()
		c.say(control, "bye")
	}()
	c.say(control, "hello")
	hello := time.NewTicker(helloEvery)
	defer hello.Stop()
	look := time.NewTicker(letGo / 2)
	defer look.Stop()
	var arranged []string // the workers for whom partitions were last arranged
	subscribed := false
	for {
		now := time.Now()
		workers, settled := c.peers.list(now)
		rearrange := settled && !slices.Equal(workers, arranged)
		if rearrange {
			arranged = workers
		}
		for _, s := range subscriptions {
			mine := owner(workers, s.partition) == c.peers.self
			if rearrange && !mine && s.open() {
				s.close()
				s.again = now.Add(letGo)
			}
			if !s.open() && !now.Before(s.again) {
				s.close() // of what came by the old channel nothing is left
				if err := s.subscribe(); err != nil {
					return err
				}
			}
		}
		if !subscribed {
			subscribed = true
			c.b.consuming.Add(1)
			defer c.b.consuming.Add(-1)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return asError(err)
		case <-hello.C:
			c.say(control, "hello")
		case m, ok := <-hellos:
			if !ok {
				return errUnknown
			}
			c.peers.heard(m.MessageId, m.Type == "bye", time.Now())
		case <-look.C:
		}
	}
}

// listen hears what other workers say.
func (c *consumer) listen(ch *amqp.Channel) (<-chan amqp.Delivery, error) {
	q, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return nil, fmt.Errorf("make a queue for the workers' list: %w", err)
	}
	if err := ch.QueueBind(q.Name, "", exchangeWorkers, false, nil); err != nil {
		return nil, fmt.Errorf("bind a queue for the workers' list: %w", err)
	}
	return ch.Consume(q.Name, "", true, true, false, false, nil)
}

// say tells the other workers. When it fails the connection is going anyway.
func (c *consumer) say(ch *amqp.Channel, what string) {
	_ = ch.PublishWithContext(context.Background(), exchangeWorkers, "", false, false, amqp.Publishing{Type: what, MessageId: c.peers.self})
}

// subscription is this worker's place in line for a partition.
type subscription struct {
	conn      *amqp.Connection
	partition int
	lane      *lane
	again     time.Time // not before this
	ch        *amqp.Channel
	reading   sync.WaitGroup
}

func (s *subscription) open() bool { return s.ch != nil && !s.ch.IsClosed() }

func (s *subscription) subscribe() error {
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return fmt.Errorf("bound a channel: %w", err)
	}
	deliveries, err := ch.Consume(queueOf(s.partition), "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume from %s: %w", queueOf(s.partition), err)
	}
	s.ch = ch
	s.reading.Go(func() {
		for d := range deliveries {
			s.lane.put(item{ch: ch, delivery: d})
		}
		// The broker may have ended the consumer alone, because the queue was
		// deleted: the channel would live on and bring nothing.
		_ = ch.Close()
	})
	return nil
}

// close gives the partition up: what is in work is finished first, what waits
// here goes back to its place in the queue.
func (s *subscription) close() {
	if s.ch == nil {
		return
	}
	s.lane.drop(s.ch)
	_ = s.ch.Close()
	s.reading.Wait()
	s.lane.forget(s.ch)
	s.ch = nil
}

// item is an AMQP message on its way through a lane.
type item struct {
	ch          *amqp.Channel
	delivery    amqp.Delivery
	submissions []chat.Submission
	tried       bool
}

// lane handles the deliveries of some partitions, one batch at a time. It
// outlives connections, so that what a lost connection had begun is over before
// the same messages come again.
type lane struct {
	c    *consumer
	wake batching.Signal

	mu      sync.Mutex
	waiting []item
	dropped map[*amqp.Channel]bool // nothing more of it is handled
	working map[*amqp.Channel]bool // in the batch in work
	idle    []chan struct{}        // closed when the batch in work is over
	done    map[*amqp.Channel]*done
}

// done is what was stored and is not acknowledged yet. An acknowledgement costs
// RabbitMQ nearly as much as a message, and one covers all that came before it;
// when this worker dies first, what is done comes again and is recognised.
type done struct {
	tag   uint64 // the last one
	count int
	since time.Time
}

const (
	// ackDelay and ackCount are how long and how much may be done without
	// an acknowledgement.
	ackDelay = 50 * time.Millisecond
	ackCount = prefetch / 4
)

// put queues a delivery. One of a channel that is dropped goes back to its
// queue when the channel closes.
func (l *lane) put(i item) {
	l.mu.Lock()
	if !l.dropped[i.ch] {
		l.waiting = append(l.waiting, i)
	}
	l.mu.Unlock()
	l.wake.Notify()
}

// drop has nothing more of a channel handled, and waits for what is in work.
func (l *lane) drop(ch *amqp.Channel) {
	l.mu.Lock()
	l.bar(ch)
	var over chan struct{}
	if l.working[ch] {
		over = make(chan struct{})
		l.idle = append(l.idle, over)
	}
	l.mu.Unlock()
	if over != nil {
		<-over
	}
	l.acknowledge(func(c *amqp.Channel, _ *done) bool { return c == ch })
}

// bar has nothing handled that waits or comes on a channel. mu is held.
func (l *lane) bar(ch *amqp.Channel) {
	if l.dropped == nil {
		l.dropped = map[*amqp.Channel]bool{}
	}
	l.dropped[ch] = true
	l.waiting = slices.DeleteFunc(l.waiting, func(i item) bool { return i.ch == ch })
}

// giveUp leaves items to whoever gets them next. An acknowledgement covers all
// that came before it on its channel, and what comes later must not be stored
// first: so nothing more of their channels is handled.
func (l *lane) giveUp(items []item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range items {
		l.bar(i.ch)
	}
}

// forget ends what drop or giveUp began, when nothing more comes by a channel.
func (l *lane) forget(ch *amqp.Channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.dropped, ch)
}

// take removes waiting messages, oldest first, of at most n submissions or one
// message. Those whose channel is gone come again by another way, behind those
// that came before them.
func (l *lane) take(n int) []item {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(i item) bool { return i.ch.IsClosed() })
	count := 0
	for count < len(l.waiting) {
		i := &l.waiting[count]
		if i.submissions == nil {
			decoded, err := decodeBatch(i.delivery.Body)
			if err != nil {
				decoded = nil // the whole message is a dead letter
			}
			i.submissions = decoded
		}
		if n -= len(i.submissions); n < 0 && count > 0 {
			break
		}
		count++
	}
	taken := slices.Clone(l.waiting[:count])
	l.waiting = l.waiting[count:]
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
	l.working = map[*amqp.Channel]bool{}
	for _, i := range taken {
		l.working[i.ch] = true
	}
	return taken
}

// over says that the batch in work is done.
func (l *lane) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working = nil
	for _, c := range l.idle {
		close(c)
	}
	l.idle = nil
}

const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

func (l *lane) run(ctx context.Context) {
	for {
		if !l.any() {
			var due <-chan time.Time
			if l.acknowledge(isDue) {
				due = time.After(ackDelay)
			}
			select {
			case <-ctx.Done():
				return
			case <-l.wake:
			case <-due:
			}
			continue
		}
		if l.c.window.enter(ctx) != nil {
			return
		}
		// After the wait: whatever gathered meanwhile is stored together.
		items := l.take(l.c.b.cfg.MaxBatch)
		took := l.work(ctx, items)
		l.over()
		l.c.window.leave(took)
	}
}

func (l *lane) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

// work handles items until they are done or given up. It tells how long that
// took, if it went well at once.
func (l *lane) work(ctx context.Context, items []item) (took time.Duration) {
	retry := backoff.Backoff{InitialInterval: firstRetry, MaxInterval: lastRetry}
	failed := false
	for len(items) > 0 {
		began := time.Now()
		err := l.handle(ctx, items)
		if err == nil && !failed {
			return time.Since(began)
		}
		if err == nil {
			return 0
		}
		failed = true
		wait := retry.Next()
		l.c.b.log.Error("messages could not be stored; trying again", "messages", len(items), "after", wait, "error", err)
		if backoff.Sleep(ctx, wait) != nil {
			l.giveUp(items) // another worker gets them
			return 0
		}
		// Those whose channel is gone come again by another way.
		items = slices.DeleteFunc(items, func(i item) bool { return i.ch.IsClosed() })
		for i := range items {
			items[i].tried = true
		}
	}
	return 0
}

// handle has items stored, keeps dead letters, and acknowledges.
func (l *lane) handle(ctx context.Context, items []item) error {
	var batch []broker.Delivery
	for _, i := range items {
		for _, s := range i.submissions {
			batch = append(batch, broker.Delivery{Submission: s, Confirmed: true, Redelivered: i.tried || i.delivery.Redelivered})
		}
	}
	var dead []amqp.Publishing
	for _, i := range items {
		if len(i.submissions) == 0 {
			dead = append(dead, unreadable(i.delivery))
		}
	}
	if len(batch) > 0 {
		verdicts, err := l.c.handle(ctx, batch)
		if err != nil {
			return err
		}
		if len(verdicts) != len(batch) {
			return fmt.Errorf("the handler gave %d verdicts for %d deliveries", len(verdicts), len(batch))
		}
		for i, refusal := range verdicts {
			if refusal != nil {
				dead = append(dead, deadLetter(&batch[i].Submission, refusal))
			}
		}
	}
	// Before they are acknowledged: nothing that was accepted disappears.
	if len(dead) > 0 {
		if err := l.c.b.bury(ctx, dead); err != nil {
			return fmt.Errorf("keep %d dead letters: %w", len(dead), err)
		}
	}
	l.stored(items)
	l.acknowledge(isDue)
	return nil
}

// stored notes items that are done.
func (l *lane) stored(items []item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = map[*amqp.Channel]*done{}
	}
	for _, i := range items {
		d := l.done[i.ch]
		if d == nil {
			d = &done{since: time.Now()}
			l.done[i.ch] = d
		}
		d.tag = max(d.tag, i.delivery.DeliveryTag)
		d.count++
	}
}

func isDue(_ *amqp.Channel, d *done) bool {
	return d.count >= ackCount || time.Since(d.since) >= ackDelay
}

// acknowledge tells the broker what is done on the channels that which chooses.
// It tells whether something is left.
func (l *lane) acknowledge(which func(*amqp.Channel, *done) bool) (left bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ch, d := range l.done {
		if !which(ch, d) {
			continue
		}
		delete(l.done, ch)
		// When it fails the channel is gone, and the messages come again,
		// to be recognised.
		if err := ch.Ack(d.tag, true); err != nil && !errors.Is(err, amqp.ErrClosed) {
			l.c.b.log.Warn("stored messages could not be acknowledged; they will come again", "error", err)
		}
	}
	return len(l.done) > 0
}

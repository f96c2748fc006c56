package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/brokertest"
	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func open(t *testing.T, cfg rabbitmq.Config) *rabbitmq.Broker {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	b, err := rabbitmq.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(eventually.Context(t)); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestConformance(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	brokertest.Run(t, brokertest.Harness{
		Open: func(t *testing.T, maxQueued int) broker.Broker {
			return open(t, rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 4, MaxQueued: maxQueued})
		},
	})
}

// What the broker has confirmed is counted, with the submissions that went
// together; what it refuses is not.
func TestPublishedIsCounted(t *testing.T) {
	t.Parallel()
	b := open(t, rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 1})
	const submissions = 200
	confirmed := make(chan error, submissions)
	for n := range submissions {
		if err := b.Publish(submission(1, n), func(err error) { confirmed <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range submissions {
		if err := eventually.Receive(t, "the confirmation", confirmed); err != nil {
			t.Fatal(err)
		}
	}
	// They came while the first was under way, so they did not go one by one.
	if batches, items := b.Published(); items != submissions || batches < 1 || batches > submissions/2 {
		t.Errorf("%d batches with %d submissions", batches, items)
	}
}

// traffic publishes numbered messages to conversations until stop is called, each
// again until it is confirmed, and counts them by conversation. It leaves time to
// others: at full speed it would take the processors from a node that starts.
type traffic struct {
	mu      sync.Mutex
	counts  map[chat.ConversationID]int
	last    map[chat.ConversationID]time.Time // of the confirmations
	silence time.Duration                     // the longest time between two, since resetSilence
	stop    chan struct{}
	running sync.WaitGroup
}

func submission(conversation chat.ConversationID, n int) chat.Submission {
	var id chat.ClientID
	id[6], id[8] = 0x70, 0x80
	id[0], id[1], id[2], id[3] = byte(conversation), byte(n>>16), byte(n>>8), byte(n)
	return chat.Submission{Sender: 1, Conversation: conversation, ClientID: id, Body: fmt.Sprint(n), ReceivedAt: time.Now()}
}

func startTraffic(t *testing.T, b broker.Publisher, conversations ...chat.ConversationID) *traffic {
	t.Helper()
	tr := &traffic{counts: map[chat.ConversationID]int{}, last: map[chat.ConversationID]time.Time{}, stop: make(chan struct{})}
	const interval = 10 * time.Millisecond
	for _, id := range conversations {
		tr.running.Go(func() {
			for n := 0; ; {
				select {
				case <-tr.stop:
					return
				case <-time.After(interval):
				}
				answer := make(chan error, 1)
				err := b.Publish(submission(id, n), func(err error) { answer <- err })
				if err == nil {
					err = <-answer
				}
				if err != nil {
					continue // the same one again
				}
				n++
				now := time.Now()
				tr.mu.Lock()
				tr.counts[id] = n
				if last, ok := tr.last[id]; ok {
					tr.silence = max(tr.silence, now.Sub(last))
				}
				tr.last[id] = now
				tr.mu.Unlock()
			}
		})
	}
	return tr
}

// resetSilence returns for how long a conversation had no confirmation, at most,
// since the last call.
func (tr *traffic) resetSilence() (longest time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	longest, tr.silence = tr.silence, 0
	for _, last := range tr.last {
		longest = max(longest, time.Since(last))
	}
	return longest
}

// awaitMore waits until n more messages of each conversation are confirmed.
func (tr *traffic) awaitMore(t *testing.T, what string, n int) {
	t.Helper()
	confirmed := func() map[chat.ConversationID]int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return maps.Clone(tr.counts)
	}
	before := confirmed()
	eventually.Nil(t, what, func() error {
		now := confirmed()
		for id, count := range before {
			if now[id] < count+n {
				return fmt.Errorf("%d of conversation %d", now[id]-count, id)
			}
		}
		return nil
	})
}

// conversations returns n ids, from first on.
func conversations(first chat.ConversationID, n int) []chat.ConversationID {
	ids := make([]chat.ConversationID, n)
	for i := range ids {
		ids[i] = first + chat.ConversationID(i)
	}
	return ids
}

// stopAndCount returns how many messages of each conversation were confirmed.
func (tr *traffic) stopAndCount() map[chat.ConversationID]int {
	close(tr.stop)
	tr.running.Wait()
	return tr.counts
}

// recorder records what workers handled. Like a store it recognizes repetitions,
// and it records what came out of order.
type recorder struct {
	mu         sync.Mutex
	next       map[chat.ConversationID]int
	counts     map[string]int
	outOfOrder []string
}

func newRecorder() *recorder {
	return &recorder{next: map[chat.ConversationID]int{}, counts: map[string]int{}}
}

func (r *recorder) handler(worker string) broker.Handler {
	return func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, d := range batch {
			var n int
			_, _ = fmt.Sscan(d.Body, &n)
			switch next := r.next[d.Conversation]; {
			case n == next:
				r.next[d.Conversation]++
				r.counts[worker]++
			case n > next:
				r.outOfOrder = append(r.outOfOrder, fmt.Sprintf("conversation %d: got %d, want %d", d.Conversation, n, next))
			}
		}
		return make([]*chat.Error, len(batch)), nil
	}
}

// consume runs Consume until stop is called, which waits for its end.
func (r *recorder) consume(ctx context.Context, t *testing.T, name string, b broker.Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Consume(ctx, r.handler(name)); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func (r *recorder) check(t *testing.T, want map[chat.ConversationID]int) {
	t.Helper()
	eventually.Nil(t, "all that was confirmed is handled", func() error {
		r.mu.Lock()
		missing, broken := 0, r.outOfOrder
		for id, n := range want {
			missing += n - min(n, r.next[id])
		}
		r.mu.Unlock()
		if len(broken) > 0 {
			t.Fatalf("out of order: %v", broken[:min(len(broken), 5)])
		}
		if missing > 0 {
			return fmt.Errorf("%d are not", missing)
		}
		return nil
	})
}

// awaitMore waits until n more messages of each conversation are handled.
func (r *recorder) awaitMore(t *testing.T, what string, n int, ids []chat.ConversationID) {
	t.Helper()
	handled := func() map[chat.ConversationID]int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return maps.Clone(r.next)
	}
	before := handled()
	eventually.Nil(t, what, func() error {
		now := handled()
		for _, id := range ids {
			if more := now[id] - before[id]; more < n {
				return fmt.Errorf("%d messages of conversation %d are handled", more, id)
			}
		}
		return nil
	})
}

func (r *recorder) handledBy(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[name]
}

// Workers join and leave under traffic: partitions move to the new ones and back,
// and nothing is lost or out of order.
func TestWorkersJoinAndLeave(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	cfg := rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 8}
	publisher := open(t, cfg)
	r := newRecorder()
	tr := startTraffic(t, publisher, conversations(1, 16)...)
	var stops []func()
	for i := range 3 {
		name := fmt.Sprint("worker ", i)
		stops = append(stops, r.consume(t.Context(), t, name, open(t, cfg)))
		eventually.True(t, name+" has work", func() bool { return r.handledBy(name) > 100 })
	}
	before := r.handledBy("worker 0")
	eventually.True(t, "the first still has work", func() bool { return r.handledBy("worker 0") > before+100 })
	stops[0]()
	stops[2]()
	before = r.handledBy("worker 1")
	eventually.True(t, "the remaining one handles everything", func() bool { return r.handledBy("worker 1") > before+500 })
	r.check(t, tr.stopAndCount())
}

// What is refused after it was confirmed, and what cannot be decoded, is kept as a
// dead letter. The former can be requeued.
func TestDeadLetters(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	cfg := rabbitmq.Config{URLs: []string{url}, Partitions: 2}
	b := open(t, cfg)
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.PublishWithContext(t.Context(), "hikyaku.messages", "0", true, false, amqp.Publishing{Body: []byte("nonsense")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	stored := map[string]bool{}
	refuse := true
	done := make(chan error, 1)
	go func() {
		done <- b.Consume(ctx, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			mu.Lock()
			defer mu.Unlock()
			verdicts := make([]*chat.Error, len(batch))
			for i, d := range batch {
				if refuse && d.Body == "3" {
					verdicts[i] = chat.NotFound("conversation")
					continue
				}
				stored[d.Body] = true
			}
			return verdicts, nil
		})
	}()
	for n := range 6 {
		answer := make(chan error, 1)
		if err := b.Publish(submission(1, n), func(err error) { answer <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	store, err := rabbitmq.OpenDeadLetterStore(t.Context(), cfg.URLs, cfg.Partitions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	list := func() (deadLetters []rabbitmq.DeadLetter) {
		t.Helper()
		if err := store.Each(func(d rabbitmq.DeadLetter) bool { deadLetters = append(deadLetters, d); return true }); err != nil {
			t.Fatal(err)
		}
		return deadLetters
	}
	eventually.True(t, "two dead letters", func() bool { return len(list()) == 2 })
	var id, nonsense string
	for _, d := range list() {
		switch {
		case d.Submission == nil:
			nonsense = d.ID
		case d.Submission.Body == "3" && d.Code == chat.CodeNotFound && d.Reason != "":
			id = d.ID
		default:
			t.Errorf("a dead letter that should not be one: %+v", d)
		}
	}
	if err := store.Requeue(t.Context(), "absent"); !errors.Is(err, rabbitmq.ErrNoDeadLetter) {
		t.Errorf("an unknown id: %v", err)
	}
	if err := store.Requeue(t.Context(), nonsense); err == nil {
		t.Error("what cannot be decoded was requeued")
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	if err := store.Requeue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "it is stored", func() bool { mu.Lock(); defer mu.Unlock(); return stored["3"] })
	eventually.True(t, "one is left", func() bool { return len(list()) == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Without its queue, a message is not confirmed.
func TestMissingQueueConfirmsNothing(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1})
	deleteQueue(t, url, "hikyaku.messages.0")
	publish := func(n int) error {
		answer := make(chan error, 1)
		if err := b.Publish(submission(1, n), func(err error) { answer <- err }); err != nil {
			return err
		}
		return <-answer
	}
	if err := publish(0); err == nil {
		t.Error("a message without a queue was confirmed")
	}
	eventually.True(t, "the queue is declared again", func() bool { return publish(1) == nil })
}

// withRawChannel calls do with a channel of a connection of its own.
func withRawChannel(t *testing.T, url string, do func(*amqp.Channel) error) error {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return do(ch)
}

// deleteQueue deletes a queue while the broker uses it.
func deleteQueue(t *testing.T, url, queue string) {
	t.Helper()
	if err := withRawChannel(t, url, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A worker whose queue was deleted consumes from the one that is declared after it.
func TestRedeclaredQueueIsConsumed(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 2})
	got := make(chan string, 10)
	consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		for _, d := range batch {
			got <- d.Body
		}
		return make([]*chat.Error, len(batch)), nil
	})
	publish(t, b, 0)
	<-got
	for p := range 2 {
		deleteQueue(t, url, fmt.Sprint("hikyaku.messages.", p))
	}
	eventually.True(t, "the queue is declared again", func() bool {
		answer := make(chan error, 1)
		err := b.Publish(submission(1, 1), func(err error) { answer <- err })
		if err == nil {
			err = <-answer
		}
		return err == nil
	})
	eventually.Receive(t, "what was accepted is handled", got)
}

// A dead letter is kept also when the dead letter queue was deleted, and leaves it
// only for a queue that exists.
func TestDeadLettersWithoutAQueue(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1})
	stop := consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		verdicts := make([]*chat.Error, len(batch))
		for i := range verdicts {
			verdicts[i] = chat.NotFound("conversation")
		}
		return verdicts, nil
	})
	deleteQueue(t, url, "hikyaku.dead")
	publish(t, b, 0)
	eventually.True(t, "the queue is declared again", func() bool {
		return withRawChannel(t, url, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("hikyaku.dead", true, false, false, false, nil)
			return err
		}) == nil
	})
	store, err := rabbitmq.OpenDeadLetterStore(t.Context(), []string{url}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var deadLetters []string
	list := func() int {
		deadLetters = nil
		if err := store.Each(func(d rabbitmq.DeadLetter) bool { deadLetters = append(deadLetters, d.ID); return true }); err != nil {
			t.Fatal(err)
		}
		return len(deadLetters)
	}
	eventually.True(t, "the dead letter", func() bool { return list() == 1 })
	stop()
	deleteQueue(t, url, "hikyaku.messages.0")
	if err := store.Requeue(t.Context(), deadLetters[0]); err == nil || !strings.Contains(err.Error(), "no such queue") {
		t.Errorf("requeued to a queue that does not exist: %v", err)
	}
	if n := list(); n != 1 {
		t.Errorf("%d dead letters are left", n)
	}
}

// Dead letters are bounded in number, the latest are kept, and expire.
func TestDeadLettersAreBounded(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1, MaxBatch: 1, MaxDeadLetters: 3, DeadLetterRetention: time.Hour})
	var handled atomic.Int64
	stop := consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		handled.Add(int64(len(batch)))
		verdicts := make([]*chat.Error, len(batch))
		for i := range verdicts {
			verdicts[i] = chat.NotFound("conversation")
		}
		return verdicts, nil
	})
	var bodies []string
	for i := range 7 {
		s := submission(1, i)
		bodies = append(bodies, s.Body)
		answer := make(chan error, 1)
		if err := b.Publish(s, func(err error) { answer <- err }); err != nil {
			t.Fatal(err)
		}
		if err := eventually.Receive(t, "it is confirmed", answer); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "all are refused", func() bool { return handled.Load() == 7 })
	stop()
	store, err := rabbitmq.OpenDeadLetterStore(t.Context(), []string{url}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var left []string
	if err := store.Each(func(d rabbitmq.DeadLetter) bool { left = append(left, d.Submission.Body); return true }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(left, bodies[4:]) {
		t.Errorf("the dead letters %v are left", left)
	}
	if err := withRawChannel(t, url, func(ch *amqp.Channel) error {
		d, ok, err := ch.Get("hikyaku.dead", true)
		if err == nil && (!ok || d.Expiration != "3600000") {
			t.Errorf("a dead letter expires after %q ms", d.Expiration)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A message that is refused twice, as when a worker dies before it acknowledges,
// is one dead letter, and comes once more when an operator requeues it.
func TestOneDeadLetterForAMessage(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1})
	requeued := make(chan bool, 10)
	stop := consume(t, b, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		verdicts := make([]*chat.Error, len(batch))
		for i := range batch {
			if requeued <- batch[i].Requeued; !batch[i].Requeued {
				verdicts[i] = chat.NotFound("conversation")
			}
		}
		return verdicts, nil
	})
	defer stop()
	s := submission(1, 0)
	for range 2 {
		answer := make(chan error, 1)
		if err := b.Publish(s, func(err error) { answer <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	inQueue := func() (n int) {
		if err := withRawChannel(t, url, func(ch *amqp.Channel) error {
			q, err := ch.QueueDeclarePassive("hikyaku.dead", true, false, false, false, nil)
			n = q.Messages
			return err
		}); err != nil {
			return -1
		}
		return n
	}
	eventually.True(t, "both are in the queue", func() bool { return inQueue() == 2 })
	store, err := rabbitmq.OpenDeadLetterStore(t.Context(), []string{url}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var ids []string
	list := func() {
		t.Helper()
		ids = nil
		if err := store.Each(func(d rabbitmq.DeadLetter) bool { ids = append(ids, d.ID); return true }); err != nil {
			t.Fatal(err)
		}
	}
	if list(); len(ids) != 1 {
		t.Fatalf("listed: %v", ids)
	}
	if err := store.Requeue(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, false, true} {
		if got := <-requeued; got != want {
			t.Errorf("delivery %d is requeued: %v", i, got)
		}
	}
	eventually.True(t, "none is left", func() bool { return inQueue() == 0 })
	select {
	case <-requeued:
		t.Error("it came twice")
	default:
	}
}

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

// An error of Open is one line with the setting and the cure.
func TestCannotOpen(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	node := stacktest.RabbitMQ(t)
	other := stacktest.VHost(t)
	conn, err := amqp.Dial(other)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("hikyaku.messages.0", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	port, err := stack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ url, want string }{
		"no address":     {"http://guest:secret@x", "looks like amqp://"},
		"nobody listens": {fmt.Sprintf("amqp://guest:secret@127.0.0.1:%d/", port), "does not answer"},
		"password":       {stacktest.WithCredentials(node.URL(), "guest", "secret"), "check user and password"},
		"virtual host":   {node.URL() + "absent", "add_vhost"},
		"other settings": {other, "exists with other settings"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URLs: []string{c.url}})
			if err == nil {
				_ = b.Close(t.Context())
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), "--broker") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %q; want one line with --broker and %q", err, c.want)
			}
		})
	}
}

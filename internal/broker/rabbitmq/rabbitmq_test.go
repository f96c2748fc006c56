package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
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

// talk publishes numbered messages to conversations until stop is called, each
// again until it is confirmed, and tells how many each conversation has.
type talk struct {
	mu      sync.Mutex
	counts  map[chat.ConversationID]int
	stop    chan struct{}
	running sync.WaitGroup
}

func submission(conversation chat.ConversationID, n int) chat.Submission {
	var id chat.ClientID
	id[6], id[8] = 0x70, 0x80
	id[0], id[1], id[2], id[3] = byte(conversation), byte(n>>16), byte(n>>8), byte(n)
	return chat.Submission{Sender: 1, Conversation: conversation, ClientID: id, Body: fmt.Sprint(n), ReceivedAt: time.Now()}
}

func startTalk(t *testing.T, b broker.Publisher, conversations int) *talk {
	t.Helper()
	k := &talk{counts: map[chat.ConversationID]int{}, stop: make(chan struct{})}
	for c := range conversations {
		id := chat.ConversationID(c + 1)
		k.running.Go(func() {
			for n := 0; ; {
				select {
				case <-k.stop:
					return
				default:
				}
				answer := make(chan error, 1)
				err := b.Publish(submission(id, n), func(err error) { answer <- err })
				if err == nil {
					err = <-answer
				}
				if err != nil { // the same one again, and not at full speed
					time.Sleep(20 * time.Millisecond)
					continue
				}
				n++
				k.mu.Lock()
				k.counts[id] = n
				k.mu.Unlock()
			}
		})
	}
	return k
}

func (k *talk) end() map[chat.ConversationID]int {
	close(k.stop)
	k.running.Wait()
	return k.counts
}

// journal is what workers stored: as a store does, it knows repetitions, and it
// notes what came out of order.
type journal struct {
	mu     sync.Mutex
	next   map[chat.ConversationID]int
	by     map[string]int
	broken []string
}

func newJournal() *journal {
	return &journal{next: map[chat.ConversationID]int{}, by: map[string]int{}}
}

func (j *journal) handler(worker string) broker.Handler {
	return func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, d := range batch {
			var n int
			_, _ = fmt.Sscan(d.Body, &n)
			switch next := j.next[d.Conversation]; {
			case n == next:
				j.next[d.Conversation]++
				j.by[worker]++
			case n > next:
				j.broken = append(j.broken, fmt.Sprintf("conversation %d: %d came where %d was due", d.Conversation, n, next))
			}
		}
		return make([]*chat.Error, len(batch)), nil
	}
}

func (j *journal) work(ctx context.Context, t *testing.T, name string, b broker.Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Consume(ctx, j.handler(name)); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func (j *journal) check(t *testing.T, want map[chat.ConversationID]int) {
	t.Helper()
	eventually.Nil(t, "all that was confirmed is handled", func() error {
		j.mu.Lock()
		missing, broken := 0, j.broken
		for id, n := range want {
			missing += n - min(n, j.next[id])
		}
		j.mu.Unlock()
		if len(broken) > 0 {
			t.Fatalf("out of order: %v", broken[:min(len(broken), 5)])
		}
		if missing > 0 {
			return fmt.Errorf("%d are not", missing)
		}
		return nil
	})
}

func (j *journal) handledBy(name string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.by[name]
}

// Workers come and go under traffic: partitions move to the new ones and back,
// and nothing is lost or out of order.
func TestWorkersComeAndGo(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	cfg := rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 8}
	publisher := open(t, cfg)
	j := newJournal()
	k := startTalk(t, publisher, 16)
	var stops []func()
	for i := range 3 {
		name := fmt.Sprint("worker ", i)
		stops = append(stops, j.work(t.Context(), t, name, open(t, cfg)))
		eventually.True(t, name+" has work", func() bool { return j.handledBy(name) > 100 })
	}
	before := j.handledBy("worker 0")
	eventually.True(t, "the first still has work", func() bool { return j.handledBy("worker 0") > before+100 })
	stops[0]()
	stops[2]()
	before = j.handledBy("worker 1")
	eventually.True(t, "the one that is left does it all", func() bool { return j.handledBy("worker 1") > before+500 })
	j.check(t, k.end())
}

// What is refused after it was confirmed, and what cannot be read, is kept as a
// dead letter, and can be sent again.
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
	g, err := rabbitmq.OpenDeadLetterStore(t.Context(), cfg.URLs, cfg.Partitions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	list := func() (letters []rabbitmq.DeadLetter) {
		t.Helper()
		if err := g.Each(func(d rabbitmq.DeadLetter) bool { letters = append(letters, d); return true }); err != nil {
			t.Fatal(err)
		}
		return letters
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
	if err := g.Requeue(t.Context(), "absent"); !errors.Is(err, rabbitmq.ErrNoDeadLetter) {
		t.Errorf("an unknown id: %v", err)
	}
	if err := g.Requeue(t.Context(), nonsense); err == nil {
		t.Error("what cannot be read was sent again")
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	if err := g.Requeue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "it is stored", func() bool { mu.Lock(); defer mu.Unlock(); return stored["3"] })
	eventually.True(t, "one is left", func() bool { return len(list()) == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A queue that someone deleted does not swallow what is confirmed.
func TestAMissingQueueConfirmsNothing(t *testing.T) {
	t.Parallel() // each has a virtual host, or nodes, of its own
	url := stacktest.VHost(t)
	b := open(t, rabbitmq.Config{URLs: []string{url}, Partitions: 1})
	remove(t, url, "hikyaku.messages.0")
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
	eventually.True(t, "the queue is made again", func() bool { return publish(1) == nil })
}

// directly does something without Hikyaku.
func directly(t *testing.T, url string, do func(*amqp.Channel) error) error {
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

// remove deletes a queue behind everybody's back.
func remove(t *testing.T, url, queue string) {
	t.Helper()
	if err := directly(t, url, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A worker whose queue someone deleted consumes from the one that takes its
// place.
func TestAQueueThatIsMadeAgainHasItsWorker(t *testing.T) {
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
		remove(t, url, fmt.Sprint("hikyaku.messages.", p))
	}
	eventually.True(t, "the queue is made again", func() bool {
		answer := make(chan error, 1)
		err := b.Publish(submission(1, 1), func(err error) { answer <- err })
		if err == nil {
			err = <-answer
		}
		return err == nil
	})
	eventually.Receive(t, "what was accepted has a worker", got)
}

// A dead letter is kept also when someone deleted the queue for them, and
// leaves it only for a queue that is there.
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
	remove(t, url, "hikyaku.dead")
	publish(t, b, 0)
	eventually.True(t, "the queue is made again", func() bool {
		return directly(t, url, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("hikyaku.dead", true, false, false, false, nil)
			return err
		}) == nil
	})
	g, err := rabbitmq.OpenDeadLetterStore(t.Context(), []string{url}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	var letters []string
	list := func() int {
		letters = nil
		if err := g.Each(func(d rabbitmq.DeadLetter) bool { letters = append(letters, d.ID); return true }); err != nil {
			t.Fatal(err)
		}
		return len(letters)
	}
	eventually.True(t, "the dead letter", func() bool { return list() == 1 })
	stop()
	remove(t, url, "hikyaku.messages.0")
	if err := g.Requeue(t.Context(), letters[0]); err == nil || !strings.Contains(err.Error(), "no such queue") {
		t.Errorf("requeued to a queue that is not there: %v", err)
	}
	if n := list(); n != 1 {
		t.Errorf("%d dead letters are left", n)
	}
}

// Nodes of a cluster die under traffic, the one that leads the queues too.
func TestNodesDie(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel() // each has a virtual host, or nodes, of its own
	f, err := stack.NewFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	nodes, err := stack.StartRabbitMQ(t.Context(), f, 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg := rabbitmq.Config{Partitions: 4}
	for _, n := range nodes {
		cfg.URLs = append(cfg.URLs, n.URL())
	}
	publisher := open(t, cfg)
	j := newJournal()
	j.work(t.Context(), t, "one", open(t, cfg))
	j.work(t.Context(), t, "two", open(t, cfg))
	k := startTalk(t, publisher, 8)
	total := func() (n int) {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, c := range j.next {
			n += c
		}
		return n
	}
	moves := func(what string, more int) {
		t.Helper()
		before := total()
		eventually.True(t, what, func() bool { return total() > before+more })
	}
	moves("it runs", 500)
	for i, n := range nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		moves("it goes on without "+n.Name(), 500)
		if i == len(nodes)-1 {
			break // the last may stay away
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	moves("it goes on", 500)
	j.check(t, k.end())
}

// What is wrong at the start is said in one line with the setting and the cure.
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

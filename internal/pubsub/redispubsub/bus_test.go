package redispubsub_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/pubsubtest"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/redispubsub"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func connect(t *testing.T, url string) *redisconn.Client {
	t.Helper()
	c, err := redisconn.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newBus(t *testing.T, client *redisconn.Client, cfg redispubsub.Config) *redispubsub.Bus {
	t.Helper()
	b, err := redispubsub.New(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := redispubsub.New(nil, redispubsub.Config{Queue: -1}); err == nil || !strings.HasPrefix(err.Error(), "bus-queue: -1 is not between 1 and ") {
		t.Errorf("a queue of -1: %v", err)
	}
}

var databases atomic.Int64

func TestConformance(t *testing.T) {
	pubsubtest.Run(t, pubsubtest.Harness{Open: func(t *testing.T, queue int) pubsub.Bus {
		url := fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1))
		return newBus(t, connect(t, url), redispubsub.Config{Queue: queue})
	}})
}

func TestConformanceOnCluster(t *testing.T) {
	pubsubtest.Run(t, pubsubtest.Harness{Open: func(t *testing.T, queue int) pubsub.Bus {
		return newBus(t, connect(t, stacktest.RedisCluster(t).URL()), redispubsub.Config{Queue: queue})
	}})
}

// What Redis has taken is counted: messages, heartbeats not among them, and all
// items in them.
func TestPublishedIsCounted(t *testing.T) {
	b := newBus(t, connect(t, fmt.Sprintf("%s/%d", stacktest.Redis(t).URL(), databases.Add(1))), redispubsub.Config{})
	t.Cleanup(func() { _ = b.Close() })
	const envelopes = 100
	for n := range envelopes {
		item := pubsub.Item{Presence: &pubsub.Presence{User: chat.UserID(n)}}
		if err := b.Publish(t.Context(), "node", &pubsub.Envelope{Items: []pubsub.Item{item, item}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually.Nil(t, "all is published", func() error {
		if messages, items := b.Published(); items != 2*envelopes || messages < 1 || messages > envelopes {
			return fmt.Errorf("%d messages with %d items", messages, items)
		}
		return nil
	})
}

// The bus works with Sentinel; after a failover it uses the new master.
func TestSentinel(t *testing.T) {
	f := stacktest.Folder(t)
	server, err := stack.StartRedisSentinel(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, server.URL())
	if err := client.Claim(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	b := newBus(t, client, redispubsub.Config{Queue: 100})
	t.Cleanup(func() { _ = b.Close() })
	l := &listener{}
	cancel, err := b.Subscribe(t.Context(), "node", l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	n := 0
	received := func(what string) {
		t.Helper()
		eventually.Nil(t, what, func() error {
			n++
			// What is lost meanwhile is reported as a gap.
			_ = b.Publish(t.Context(), "node", &pubsub.Envelope{Items: []pubsub.Item{{Presence: &pubsub.Presence{User: chat.UserID(n)}}}})
			l.mu.Lock()
			last, lost := l.last, l.lost
			l.mu.Unlock()
			if lost {
				t.Fatalf("%s: something was lost without a gap", what)
			}
			if last == 0 || last <= n-5 {
				return fmt.Errorf("%d was the last of %d", last, n)
			}
			return nil
		})
	}
	received("before the failover")
	if err := server.Master.Kill(); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.last, l.gaps = 0, l.gaps+1 // anything from now on is of the new master
	l.mu.Unlock()
	n += 100
	received("after the failover")
}

// listener follows a publisher as a gateway does: a loss counts as reported when
// there was a gap.
type listener struct {
	mu   sync.Mutex
	last int
	gaps int
	lost bool // without a gap

	interrupted bool
}

func (l *listener) Interrupted(interrupted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupted = interrupted
}

func (l *listener) isInterrupted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.interrupted
}

func (l *listener) Deliver(e *pubsub.Envelope) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int(e.Items[0].Presence.User)
	if n != l.last+1 && l.gaps == 0 {
		l.lost = true
	}
	l.last = n
}

func (l *listener) Gap() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaps++
}

func (l *listener) state() (last, gaps int, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.gaps, l.lost
}

func numbered(n int) *pubsub.Envelope {
	return &pubsub.Envelope{Items: []pubsub.Item{{Presence: &pubsub.Presence{User: chat.UserID(n), State: chat.Online}}}}
}

// A closed connection and a server outage are reported as gaps, even when nothing
// is sent afterwards. The log shows how soon: on a busy machine it may take longer
// than GapLatency.
func TestInterruptions(t *testing.T) {
	f := stacktest.Folder(t)
	server, err := stack.StartRedis(t.Context(), f, "redis")
	if err != nil {
		t.Fatal(err)
	}
	for name, interrupt := range map[string]func(b pubsub.Bus){
		"the subscription is closed": func(pubsub.Bus) {
			if _, err := server.Do(t.Context(), "CLIENT KILL TYPE pubsub"); err != nil {
				t.Fatal(err)
			}
		},
		"the server is killed and restarts empty": func(b pubsub.Bus) {
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = b.Publish(t.Context(), "a", numbered(1000)) // lost, and the last one
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := slog.New(slog.DiscardHandler)
			publisher, subscriber := newBus(t, connect(t, server.URL()), redispubsub.Config{Logger: log}), newBus(t, connect(t, server.URL()), redispubsub.Config{Logger: log})
			defer func() { _, _ = publisher.Close(), subscriber.Close() }()
			var l listener
			cancel, err := subscriber.Subscribe(t.Context(), "a", &l)
			if err != nil {
				t.Fatal(err)
			}
			defer cancel()
			for n := range 100 {
				if err := publisher.Publish(t.Context(), "a", numbered(n+1)); err != nil {
					t.Fatal(err)
				}
			}
			eventually.True(t, "all of them", func() bool { last, _, _ := l.state(); return last == 100 })
			if _, gaps, _ := l.state(); gaps != 0 {
				t.Errorf("%d gaps before anything was lost", gaps)
			}
			interrupt(publisher)
			awaitGap(t, &l)
			eventually.True(t, "envelopes arrive again", func() bool {
				_ = publisher.Publish(t.Context(), "a", numbered(2000))
				last, _, _ := l.state()
				return last == 2000
			})
			if _, _, lost := l.state(); lost {
				t.Error("something was lost before a gap was reported")
			}
		})
	}
}

// A server that hangs, with its connections open, is an interruption, and a gap
// when it begins and when it ends.
func TestServerHangs(t *testing.T) {
	f := stacktest.Folder(t)
	server, err := stack.StartRedis(t.Context(), f, "redis")
	if err != nil {
		t.Fatal(err)
	}
	b := newBus(t, connect(t, server.URL()), redispubsub.Config{})
	defer func() { _ = b.Close() }()
	var l listener
	cancel, err := b.Subscribe(t.Context(), "a", &l)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually.True(t, "the interruption", func() bool { _, gaps, _ := l.state(); return l.isInterrupted() && gaps > 0 })
	t.Logf("it was reported after %v", time.Since(began).Round(time.Millisecond))
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	_, before, _ := l.state()
	eventually.True(t, "the end of it", func() bool { _, gaps, _ := l.state(); return !l.isInterrupted() && gaps > before })
}

// The last message is lost and nothing follows: the heartbeat reveals it.
func TestLastMessageIsLost(t *testing.T) {
	client := connect(t, stacktest.Redis(t).URL()+"/15")
	log := slog.New(slog.DiscardHandler)
	publisher, subscriber := newBus(t, client, redispubsub.Config{Logger: log}), newBus(t, connect(t, stacktest.Redis(t).URL()+"/15"), redispubsub.Config{Logger: log})
	defer func() { _, _ = publisher.Close(), subscriber.Close() }()
	var l listener
	cancel, err := subscriber.Subscribe(t.Context(), "a", &l)
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.Publish(t.Context(), "a", numbered(1)); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the first", func() bool { last, _, _ := l.state(); return last == 1 })
	// A node that is not subscribed loses what is sent meanwhile.
	cancel()
	if err := publisher.Publish(t.Context(), "a", numbered(2)); err != nil {
		t.Fatal(err)
	}
	var again listener
	cancel, err = subscriber.Subscribe(t.Context(), "a", &again)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	awaitGap(t, &again)
}

func awaitGap(t *testing.T, l *listener) {
	t.Helper()
	began := time.Now()
	eventually.True(t, "the gap", func() bool { _, gaps, _ := l.state(); return gaps > 0 })
	t.Logf("the gap was reported after %v", time.Since(began).Round(time.Millisecond))
}

func TestCannotOpen(t *testing.T) {
	server := stacktest.Redis(t)
	port, err := stack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ url, want string }{
		"no address":     {"localhost:secret", "looks like"},
		"scheme":         {"http://:secret@localhost", "looks like"},
		"nobody listens": {fmt.Sprintf("redis://:secret@127.0.0.1:%d", port), "does not answer"},
		"password":       {stacktest.WithCredentials(server.URL(), "", "secret"), "check user and password"},
		"no cluster":     {strings.Replace(server.URL(), "redis://", "redis+cluster://", 1), "not a Redis Cluster"},
		"a cluster":      {stacktest.RedisCluster(t).Nodes[0].URL(), "use redis+cluster://"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := redisconn.Open(eventually.Context(t), c.url)
			if err == nil {
				client.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), "--redis") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %q; want one line with --redis and %q", err, c.want)
			}
		})
	}
}

func TestTwoInstallations(t *testing.T) {
	client := connect(t, stacktest.Redis(t).URL()+"/14")
	for range 2 {
		if err := client.Claim(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Claim(t.Context(), "two"); err == nil || !strings.Contains(err.Error(), "another installation") {
		t.Errorf("a second installation was accepted: %v", err)
	}
}

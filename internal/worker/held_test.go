package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
	"github.com/hikyaku-chat/hikyaku/internal/worker"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// announced counts what was announced as stored, by conversation.
type announced struct {
	mu     sync.Mutex
	counts map[chat.ConversationID]int
	failed int
}

func (a *announced) Stored(_ context.Context, outcomes []chat.Outcome, _ func(int) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range outcomes {
		if o.Verdict == chat.Stored {
			a.counts[o.Message.Conversation]++
		}
	}
}

func (a *announced) Failed(context.Context, *chat.Submission, *chat.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed++
}

func (a *announced) count(c chat.ConversationID) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[c]
}

// A transaction holds the row of one conversation. The others of its partition are
// stored meanwhile by a worker that has one batch at a time, and when it is free
// its messages are stored once and in order.
func TestHeldConversationStopsNoOther(t *testing.T) {
	url := stacktest.Database(t)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	if err := postgres.Migrate(t.Context(), url, log); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	anna, err := s.CreateUser(t.Context(), store.NewUser{Name: "anna", Skeleton: "anna", DisplayName: "Anna", Password: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var conversations []chat.ConversationID
	for range 10 {
		c, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "room", By: anna.ID})
		if err != nil {
			t.Fatal(err)
		}
		conversations = append(conversations, c.Conversation.ID)
	}
	held, others := conversations[4], append(conversations[:4:4], conversations[5:]...)

	b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 1, Concurrency: 1, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(eventually.Context(t)); err != nil {
			t.Error(err)
		}
	})
	a := &announced{counts: map[chat.ConversationID]int{}}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- worker.New(s, a, log).Run(ctx, b) }()
	t.Cleanup(func() {
		stop()
		if err := eventually.Receive(t, "the worker stops", stopped); err != nil {
			t.Error(err)
		}
	})

	hung := postgrestest.Hold(t, url, held)
	const waves, each = 3, 4 // no more than the prefetch takes, if all are published alone
	for wave := range waves {
		answers := make(chan error, each*len(conversations))
		for n := wave * each; n < (wave+1)*each; n++ {
			for _, c := range conversations {
				if err := b.Publish(chat.Submission{
					Sender: anna.ID, Conversation: c, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: fmt.Sprint(n), ReceivedAt: time.Now(),
				}, func(err error) { answers <- err }); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range cap(answers) {
			if err := eventually.Receive(t, "RabbitMQ confirms", answers); err != nil {
				t.Fatal(err)
			}
		}
		eventually.Nil(t, "the others are stored", func() error {
			for _, c := range others {
				if n := a.count(c); n != (wave+1)*each {
					return fmt.Errorf("%d messages of conversation %d are stored, want %d", n, c, (wave+1)*each)
				}
			}
			return nil
		})
		if n := a.count(held); n > 0 {
			t.Errorf("%d messages of the held conversation are stored", n)
		}
	}
	if err := hung.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the messages of the held conversation are stored", func() bool { return a.count(held) == waves*each })
	for _, c := range conversations {
		page, err := s.History(t.Context(), c, anna.ID, 1, 1000, false, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Messages) != waves*each {
			t.Errorf("conversation %d has %d messages", c, len(page.Messages))
		}
		for i, m := range page.Messages {
			if m.Body != fmt.Sprint(i) || m.Seq != int64(i+1) {
				t.Errorf("conversation %d: message %d is %q", c, m.Seq, m.Body)
			}
		}
	}
	if a.failed > 0 {
		t.Errorf("%d messages have failed", a.failed)
	}
}

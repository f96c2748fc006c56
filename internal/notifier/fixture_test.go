package notifier_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/localpubsub"
	"github.com/hikyaku-chat/hikyaku/internal/snowflake"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/sqlite"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

const testTimeout = time.Minute

// fixture is an installation without gateways: tests attach users to presence.
type fixture struct {
	*testing.T
	store     store.Store
	queue     notifyqueue.Queue
	presence  presence.Presence
	announce  *fanout.Announcer
	service   *webpushtest.Service
	sender    *webpush.Sender
	userCount int
	log       *slog.Logger
}

// eachBackend runs a test with the embedded backends and with those of a cluster, in
// parallel.
func eachBackend(t *testing.T, test func(f *fixture)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		maker, err := snowflake.NewGenerator(1, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hikyaku.db"), NewID: maker.Next})
		if err != nil {
			t.Fatal(err)
		}
		q, err := embedded.NewNotifyQueue(embedded.NotifyQueueConfig{})
		if err != nil {
			t.Fatal(err)
		}
		test(newFixture(t, s, q))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		url := stacktest.Database(t)
		if err := postgres.Migrate(t.Context(), url, log); err != nil {
			t.Fatal(err)
		}
		s, err := postgres.Open(t.Context(), postgres.Config{URL: url, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URLs: []string{stacktest.VHost(t)}, Partitions: 1, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			if err := b.Close(ctx); err != nil {
				t.Error(err)
			}
		})
		test(newFixture(t, s, b.NotifyQueue()))
	})
}

func newFixture(t *testing.T, s store.Store, q notifyqueue.Queue) *fixture {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	public, private, err := s.PushKeys(t.Context(), func() (string, string, error) {
		k, err := webpush.GenerateKeys()
		return k.Public, k.Private, err
	})
	if err != nil {
		t.Fatal(err)
	}
	sender, err := webpush.New(webpush.Config{
		Keys: webpush.Keys{Public: public, Private: private}, Contact: "mailto:admin@example.org", AllowPrivate: true, Timeout: testTimeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	f := &fixture{
		T: t, store: s, queue: q, presence: localpresence.New(nil), service: webpushtest.New(t), sender: sender,
		log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	bus, err := localpubsub.New(localpubsub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	f.announce = fanout.NewAnnouncer(bus, f.presence, s, f.log).WithNotifications(q)
	return f
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// user is an account with one session.
type user struct {
	id      chat.UserID
	name    string
	session chat.SessionID
}

func (f *fixture) createUser(name string) user {
	f.Helper()
	f.userCount++
	unique := fmt.Sprint("user", f.userCount)
	u, err := f.store.CreateUser(f.Context(), store.NewUser{Name: unique, Skeleton: unique, DisplayName: name}, nil)
	f.must(err)
	now := time.Now()
	session, err := f.store.CreateSession(f.Context(), store.Session{
		User: u.ID, Token: []byte(unique), CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
	})
	f.must(err)
	return user{id: u.ID, name: name, session: session}
}

// subscribe adds a device of a user that accepts notifications.
func (f *fixture) subscribe(p user) *webpushtest.Device {
	f.Helper()
	s, device := f.service.Subscribe()
	device.Restrict(f.sender.PublicKey())
	f.register(p, s)
	return device
}

func (f *fixture) register(p user, s webpush.Subscription) {
	f.Helper()
	f.must(f.store.PutSubscription(f.Context(), store.Subscription{
		User: p.id, Session: p.session, Endpoint: s.Endpoint, P256DH: s.P256DH, Auth: s.Auth,
	}))
}

func (f *fixture) subscriptions(p user) int {
	f.Helper()
	all, err := f.store.Subscriptions(f.Context(), []chat.UserID{p.id})
	f.must(err)
	return len(all)
}

func (f *fixture) createConversation(kind chat.Kind, title string, by user, others ...user) chat.ConversationID {
	f.Helper()
	n := store.NewConversation{Kind: kind, Title: title, By: by.id}
	for _, p := range others {
		n.Members = append(n.Members, p.id)
	}
	c, err := f.store.CreateConversation(f.Context(), n)
	f.must(err)
	return c.Conversation.ID
}

// sendMessage stores and announces a message, as a worker does.
func (f *fixture) sendMessage(c chat.ConversationID, by user, body string) chat.Message {
	f.Helper()
	id, err := chat.ParseClientID(uuid.Must(uuid.NewV7()).String())
	f.must(err)
	out, err := f.store.Append(f.Context(), []chat.Submission{{
		Sender: by.id, Conversation: c, ClientID: id, Body: body, ReceivedAt: time.Now(),
	}})
	f.must(err)
	if out[0].Verdict != chat.Stored {
		f.Fatalf("not stored: %+v", out[0])
	}
	f.announce.Stored(f.Context(), out, func(int) bool { return false })
	return out[0].Message
}

func (f *fixture) attach(p user) {
	f.Helper()
	_, _, err := f.presence.Attach(f.Context(), presence.Device{User: p.id, Node: "node", ID: int64(p.id)})
	f.must(err)
}

func (f *fixture) assertNoPushes(what string, devices ...*webpushtest.Device) {
	f.Helper()
	for i, d := range devices {
		if n := d.PushCount(); n != 0 {
			f.Errorf("%s: device %d got %d notifications", what, i, n)
		}
	}
	if refused := f.service.Refused(); len(refused) > 0 {
		f.Errorf("refused: %v", refused)
	}
}

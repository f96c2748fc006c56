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

const patience = time.Minute

// world is an installation without gateways: who attaches to presence is here.
type world struct {
	*testing.T
	store    store.Store
	queue    notifyqueue.Queue
	presence presence.Presence
	announce *fanout.Announcer
	service  *webpushtest.Service
	sender   *webpush.Sender
	names    int
	log      *slog.Logger
}

// everywhere runs a test on the embedded parts and on those of a cluster, side
// by side: they wait, mostly.
func everywhere(t *testing.T, test func(w *world)) {
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
		test(newWorld(t, s, embedded.NewPushes(0)))
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
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := b.Close(ctx); err != nil {
				t.Error(err)
			}
		})
		test(newWorld(t, s, b.Pushes()))
	})
}

func newWorld(t *testing.T, s store.Store, q notifyqueue.Queue) *world {
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
		Keys: webpush.Keys{Public: public, Private: private}, Contact: "mailto:admin@example.org", AllowPrivate: true, Timeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	w := &world{
		T: t, store: s, queue: q, presence: localpresence.New(nil), service: webpushtest.New(t), sender: sender,
		log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	w.announce = fanout.NewAnnouncer(localpubsub.New(0), w.presence, s, w.log).WithNotifications(q)
	return w
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// person is an account that is logged in on one device.
type person struct {
	id      chat.UserID
	name    string
	session chat.SessionID
}

func (w *world) person(name string) person {
	w.Helper()
	w.names++
	unique := fmt.Sprint("user", w.names)
	u, err := w.store.CreateUser(w.Context(), store.NewUser{Name: unique, Skeleton: unique, DisplayName: name}, nil)
	w.ok(err)
	now := time.Now()
	session, err := w.store.CreateSession(w.Context(), store.Session{
		User: u.ID, Token: []byte(unique), CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
	})
	w.ok(err)
	return person{id: u.ID, name: name, session: session}
}

// subscribe is a device of p's that takes notifications.
func (w *world) subscribe(p person) *webpushtest.Device {
	w.Helper()
	s, device := w.service.Subscribe()
	device.Restrict(w.sender.PublicKey())
	w.register(p, s)
	return device
}

func (w *world) register(p person, s webpush.Subscription) {
	w.Helper()
	w.ok(w.store.PutSubscription(w.Context(), store.Subscription{
		User: p.id, Session: p.session, Endpoint: s.Endpoint, P256DH: s.P256DH, Auth: s.Auth,
	}))
}

func (w *world) subscriptions(p person) int {
	w.Helper()
	all, err := w.store.Subscriptions(w.Context(), []chat.UserID{p.id})
	w.ok(err)
	return len(all)
}

func (w *world) converse(kind chat.Kind, title string, by person, others ...person) chat.ConversationID {
	w.Helper()
	n := store.NewConversation{Kind: kind, Title: title, By: by.id}
	for _, p := range others {
		n.Members = append(n.Members, p.id)
	}
	c, err := w.store.CreateConversation(w.Context(), n)
	w.ok(err)
	return c.Conversation.ID
}

// say stores a message and has it announced, as a worker does.
func (w *world) say(c chat.ConversationID, by person, body string) chat.Message {
	w.Helper()
	id, err := chat.ParseClientID(uuid.Must(uuid.NewV7()).String())
	w.ok(err)
	out, err := w.store.Append(w.Context(), []chat.Submission{{
		Sender: by.id, Conversation: c, ClientID: id, Body: body, ReceivedAt: time.Now(),
	}})
	w.ok(err)
	if out[0].Verdict != chat.Stored {
		w.Fatalf("not stored: %+v", out[0])
	}
	w.announce.Stored(w.Context(), out, func(int) bool { return false })
	return out[0].Message
}

func (w *world) attach(p person) {
	w.Helper()
	_, _, err := w.presence.Attach(w.Context(), presence.Device{User: p.id, Node: "node", ID: int64(p.id)})
	w.ok(err)
}

func (w *world) silent(what string, devices ...*webpushtest.Device) {
	w.Helper()
	for i, d := range devices {
		if n := d.Pushes(); n != 0 {
			w.Errorf("%s: device %d got %d notifications", what, i, n)
		}
	}
	if refused := w.service.Refused(); len(refused) > 0 {
		w.Errorf("refused: %v", refused)
	}
}

// Package postgrestest gives tests databases, stores and people of the
// PostgreSQL store.
package postgrestest

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetest"
)

// Open opens a store that is closed when the test ends. It logs to the test.
func Open(tb testing.TB, cfg postgres.Config) *postgres.Store {
	tb.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	s, err := postgres.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// template is a database that was migrated once and is copied for each test.
var template struct {
	sync.Mutex
	name string
}

var copies atomic.Int64

// NewDatabase returns the address of a new database that has the schema and no
// data. Copying one takes a tenth of the time of migrating. The installation's id
// and secret are not copied: every database has its own.
func NewDatabase(tb testing.TB) string {
	tb.Helper()
	server := stacktest.Postgres(tb)
	template.Lock()
	defer template.Unlock()
	if template.name == "" {
		url := stacktest.Database(tb)
		if err := postgres.Migrate(tb.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
			tb.Fatal(err)
		}
		template.name = DatabaseName(url)
	}
	name := fmt.Sprint("copy", copies.Add(1))
	if err := server.Exec(tb.Context(), "postgres", "CREATE DATABASE "+name+" TEMPLATE "+template.name); err != nil {
		tb.Fatal(err)
	}
	// Otherwise replicas would copy it, and it would be written at the end.
	tb.Cleanup(func() {
		if err := server.Exec(eventually.Context(tb), "postgres", "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	if err := server.Exec(tb.Context(), name, `UPDATE installation SET id = gen_random_uuid(), secret = sha256(uuid_send(gen_random_uuid()))`); err != nil {
		tb.Fatal(err)
	}
	return server.URL(name)
}

// DatabaseName returns the name of the database that an address names.
func DatabaseName(url string) string {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		panic(err)
	}
	return cfg.Database
}

// NewHarness returns what opens a harness with a new database. Its stores use the
// address that url makes of the database's. Properties are checked with the given
// percentage of random histories.
func NewHarness(historiesPercent int, url func(url string) string) func(tb testing.TB) storetest.Harness {
	return func(tb testing.TB) storetest.Harness {
		clock := new(storetest.Clock)
		cfg := postgres.Config{URL: url(NewDatabase(tb)), Now: clock.Now}
		current := Open(tb, cfg)
		return storetest.Harness{HistoriesPercent: historiesPercent, Store: current, Clock: clock, Reopen: func() store.Store {
			if err := current.Close(); err != nil {
				tb.Error(err)
			}
			current = Open(tb, cfg)
			return current
		}, Beside: func() store.Store { return Open(tb, cfg) }}
	}
}

// CreateUser creates an account that nobody can log in to.
func CreateUser(t *testing.T, s *postgres.Store, name string) chat.UserID {
	t.Helper()
	u, err := s.CreateUser(t.Context(), store.NewUser{Name: name, Skeleton: name, DisplayName: name, Password: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

// CreateGroup creates a group whose owner is by.
func CreateGroup(t *testing.T, s *postgres.Store, by chat.UserID, members ...chat.UserID) chat.ConversationID {
	t.Helper()
	c, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "room", By: by, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	return c.Conversation.ID
}

// Submission returns a message that was received now, with a client id of its own.
func Submission(c chat.ConversationID, by chat.UserID, body string) chat.Submission {
	return chat.Submission{Sender: by, Conversation: c, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: body, ReceivedAt: time.Now()}
}

// Send stores a message.
func Send(t *testing.T, s *postgres.Store, c chat.ConversationID, by chat.UserID, body string) chat.Message {
	t.Helper()
	out, err := s.Append(t.Context(), []chat.Submission{Submission(c, by, body)})
	if err != nil {
		t.Fatal(err)
	}
	if out[0].Verdict != chat.Stored {
		t.Fatalf("not stored: %+v", out[0])
	}
	return out[0].Message
}

// Hold begins a transaction that has a conversation locked until it ends, however
// long it does nothing.
func Hold(t *testing.T, url string, id chat.ConversationID) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(eventually.Context(t)) })
	if _, err := conn.Exec(t.Context(), `SET idle_in_transaction_session_timeout = 0`); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM conversations WHERE id = $1 FOR UPDATE`, id); err != nil {
		t.Fatal(err)
	}
	return tx
}

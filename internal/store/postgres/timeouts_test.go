package postgres

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

func databaseName(t *testing.T, url string) string {
	t.Helper()
	cfg, err := parse("--database", url)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.ConnConfig.Database
}

// withoutServerTimeouts returns a function that opens a database whose server sets
// no time-outs, as its configuration otherwise does.
func withoutServerTimeouts(t *testing.T) (url string, open func() *Store) {
	t.Helper()
	url = stacktest.Database(t)
	name := databaseName(t, url)
	if err := stacktest.Postgres(t).Exec(t.Context(), "postgres", "ALTER DATABASE "+name+" SET idle_in_transaction_session_timeout = 0; ALTER DATABASE "+name+" SET lock_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if err := Migrate(t.Context(), url, log); err != nil {
		t.Fatal(err)
	}
	return url, func() *Store {
		s, err := Open(t.Context(), Config{URL: url, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

// A change of a conversation that somebody holds for good is given up, although
// its caller would wait.
func TestChangesGiveUp(t *testing.T) {
	url, open := withoutServerTimeouts(t)
	s := open()
	u, err := s.CreateUser(t.Context(), store.NewUser{Name: "anna", Skeleton: "anna", DisplayName: "Anna", Password: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "room", By: u.ID})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(eventually.Context(t)) })
	if _, err := conn.Exec(t.Context(), `begin; update conversations set title = 'mine'`); err != nil {
		t.Fatal(err)
	}
	title := "theirs"
	_, err = s.UpdateConversation(eventually.Context(t), c.Conversation.ID, u.ID, &title, nil)
	if sqlState(err) != lockNotAvailable || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want the database's time-out", err)
	}
}

// The server ends the transaction of a process that hangs in the middle of it,
// whichever it is, and others have its conversation.
func TestHungTransactionsEnd(t *testing.T) {
	_, open := withoutServerTimeouts(t)
	hung, alive := open(), open()
	u, err := alive.CreateUser(t.Context(), store.NewUser{Name: "anna", Skeleton: "anna", DisplayName: "Anna", Password: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, hang := range map[string]func(ctx context.Context, c chat.ConversationID, locked func(), goOn <-chan struct{}) error{
		"a batch of messages": func(ctx context.Context, c chat.ConversationID, locked func(), goOn <-chan struct{}) error {
			conn, err := hung.pool.Acquire(ctx)
			if err != nil {
				return err
			}
			defer conn.Release()
			in := []chat.Submission{{Sender: u.ID, Conversation: c, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: "hung"}}
			a := newAppendBatch(ctx, hung, conn, in, time.Now())
			if err := a.lockConversations(false); err != nil {
				return err
			}
			locked()
			<-goOn
			return a.save()
		},
		"a change": func(ctx context.Context, c chat.ConversationID, locked func(), goOn <-chan struct{}) error {
			_, err := change(ctx, hung, "hang", func(t *tx) (struct{}, error) {
				if _, err := t.exec(`SELECT FROM conversations WHERE id = $1 FOR UPDATE`, c); err != nil {
					return struct{}{}, err
				}
				locked()
				<-goOn
				return struct{}{}, nil
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			created, err := alive.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "room", By: u.ID})
			if err != nil {
				t.Fatal(err)
			}
			c := created.Conversation.ID
			locked, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			go func() { ended <- hang(eventually.Context(t), c, func() { close(locked) }, goOn) }()
			select {
			case <-locked:
			case err := <-ended:
				t.Fatal(err)
			}
			message := []chat.Submission{{Sender: u.ID, Conversation: c, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: "from another process"}}
			eventually.True(t, "the message is stored", func() bool {
				out, err := alive.Append(t.Context(), message)
				if err != nil {
					t.Fatal(err)
				}
				return out[0].Verdict != 0
			})
			close(goOn)
			if err := <-ended; err == nil {
				t.Error("the hung transaction was committed")
			}
		})
	}
}

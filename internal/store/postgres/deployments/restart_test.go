package deployments

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

// The store survives restarts of the database.
func TestServerRestarts(t *testing.T) {
	f := stacktest.Folder(t)
	server, err := stack.StartPostgres(t.Context(), f, "postgresql")
	if err != nil {
		t.Fatal(err)
	}
	url, err := server.CreateDatabase(t.Context(), "away")
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, discard()); err != nil {
		t.Fatal(err)
	}
	s := postgrestest.Open(t, postgres.Config{URL: url})
	u := postgrestest.CreateUser(t, s, "someone")
	c := postgrestest.CreateGroup(t, s, u)
	epoch, _ := s.Epoch()
	acknowledged := 0
	for round := range 3 {
		// A connection of before may be left, of the background's work.
		first := []chat.Submission{postgrestest.Submission(c, u, "x")}
		eventually.Nil(t, "a message is stored", func() error { return second(s.Append(t.Context(), first)) })
		acknowledged++
		for range 19 {
			postgrestest.Send(t, s, c, u, "x")
			acknowledged++
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // nothing can come in it
		_, err := s.Append(ctx, []chat.Submission{postgrestest.Submission(c, u, "lost")})
		cancel()
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("round %d: while the server is down: %v", round, err)
		}
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	page, err := s.History(t.Context(), c, u, 1, 1<<31, false, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Messages) < acknowledged || len(page.Messages) > acknowledged+3 {
		t.Errorf("%d messages were acknowledged and %d are there", acknowledged, len(page.Messages))
	}
	if now, _ := s.Epoch(); now != epoch {
		t.Errorf("the epoch was %s and is %s; nothing was lost, and devices need not begin anew", epoch, now)
	}
}

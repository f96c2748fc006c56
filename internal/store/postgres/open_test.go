package postgres_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
	"github.com/hikyaku-chat/hikyaku/internal/username"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestConcurrentMigrate(t *testing.T) {
	url := stacktest.Database(t)
	var migrations sync.WaitGroup
	for range 4 {
		migrations.Go(func() {
			if err := postgres.Migrate(t.Context(), url, discard()); err != nil {
				t.Error(err)
			}
		})
	}
	migrations.Wait()
	postgrestest.CreateUser(t, postgrestest.Open(t, postgres.Config{URL: url}), "someone")
}

// An error of Open is one line that names the setting and the cure.
func TestCannotOpen(t *testing.T) {
	server := stacktest.Postgres(t)
	good := postgrestest.NewDatabase(t)
	newer := postgrestest.NewDatabase(t)
	for _, sql := range []string{`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`} {
		if err := server.Exec(t.Context(), postgrestest.DatabaseName(newer), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Exec(t.Context(), "postgres", `CREATE ROLE stranger LOGIN PASSWORD 'strange'`); err != nil {
		t.Fatal(err)
	}
	latin := "latin"
	if err := server.Exec(t.Context(), "postgres", `CREATE DATABASE latin ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`); err != nil {
		t.Fatal(err)
	}
	port, err := stack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ url, want string }{
		"no address":       {"nonsense://x", "looks like postgres://"},
		"nobody listens":   {fmt.Sprintf("postgres://postgres:secret@127.0.0.1:%d/x", port), "does not answer"},
		"no such database": {server.URL("absent"), "create it with"},
		"empty":            {stacktest.Database(t), "run hikyaku migrate first"},
		"newer":            {newer, "knows versions up to"},
		"encoding":         {server.URL(latin), "UTF8"},
		"not permitted":    {stacktest.WithCredentials(good, "stranger", "strange"), "may not do this"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := postgres.Open(t.Context(), postgres.Config{URL: c.url, Logger: discard()})
			if err == nil {
				_ = s.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %q; want one line with %q", err, c.want)
			}
		})
	}
}

// Processes whose clocks disagree, that crash and take over each other's numbers,
// never generate the same id.
func TestIDLeases(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	server := stacktest.Postgres(t)
	seen := map[chat.UserID]bool{}
	n := 0
	for round := range 6 {
		skew := time.Duration(3-round) * time.Hour
		s := postgrestest.Open(t, postgres.Config{URL: url, IDClock: func() time.Time { return time.Now().Add(skew) }})
		for range 5 {
			n++
			id := postgrestest.CreateUser(t, s, fmt.Sprintf("user%d", n))
			if seen[id] {
				t.Fatalf("the id %d was generated twice", id)
			}
			seen[id] = true
		}
		// All numbers but one are taken, and that one has expired: the next
		// process has to take it over.
		if err := server.Exec(t.Context(), postgrestest.DatabaseName(url), `UPDATE id_nodes SET expires = now();
			INSERT INTO id_nodes SELECT n, gen_random_uuid(), now() + interval '1 day', now() FROM generate_series(0, 1023) n
			WHERE n <> (SELECT min(node) FROM id_nodes) ON CONFLICT (node) DO NOTHING`); err != nil {
			t.Fatal(err)
		}
	}
}

// Names that an earlier version folded are found as this one folds them.
func TestNamesAreFoldedAnew(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	s := postgrestest.Open(t, postgres.Config{URL: url})
	u, err := s.CreateUser(t.Context(), store.NewUser{Name: "kaho", Skeleton: "kaho", DisplayName: "ﾀﾅｶ Béla"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Channel, Title: "Café", By: u.ID}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`UPDATE users SET display_fold = 'タナカ béla'`,
		`UPDATE conversations SET title_fold = 'café'`,
		`DELETE FROM goose_db_version WHERE version_id >= 7`,
	} {
		if err := stacktest.Postgres(t).Exec(t.Context(), postgrestest.DatabaseName(url), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := postgres.Migrate(t.Context(), url, discard()); err != nil {
		t.Fatal(err)
	}
	if found, err := s.SearchUsers(t.Context(), "たなか bela", "", 9); err != nil || len(found) != 1 {
		t.Errorf("people: %v, %v", found, err)
	}
	if found, _, err := s.Channels(t.Context(), u.ID, "cafe", "", 0, 9); err != nil || len(found) != 1 {
		t.Errorf("channels: %v, %v", found, err)
	}
}

// Names that an earlier version took for different ones keep their accounts, and no
// further one is made beside them.
func TestSkeletonsAreDerivedAnew(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	s := postgrestest.Open(t, postgres.Config{URL: url})
	newUser := func(name, skeleton string) error {
		_, err := s.CreateUser(t.Context(), store.NewUser{Name: name, Skeleton: skeleton, DisplayName: name}, nil)
		return err
	}
	for _, u := range [][2]string{{"siobhan", "siobhan"}, {"siobhán", "siobhán"}, {"zoë", "zoë"}, {"kaho", "zoe"}} {
		if err := newUser(u[0], u[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := stacktest.Postgres(t).Exec(t.Context(), postgrestest.DatabaseName(url), `DELETE FROM goose_db_version WHERE version_id = 8`); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, discard()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"siobhán", "zoë"} {
		if _, _, err := s.Credentials(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"siobhàn", "zoé", "zoe", "kahó"} {
		if err := newUser(name, username.Skeleton(name)); chat.CodeOf(err) != chat.CodeNameTaken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

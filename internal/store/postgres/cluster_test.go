package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetest"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func createUser(t *testing.T, s *postgres.Store, name string) chat.UserID {
	t.Helper()
	u, err := s.CreateUser(t.Context(), store.NewUser{Name: name, Skeleton: name, DisplayName: name, Password: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func createGroup(t *testing.T, s *postgres.Store, by chat.UserID, members ...chat.UserID) chat.ConversationID {
	t.Helper()
	c, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "room", By: by, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	return c.Conversation.ID
}

func second[T any](_ T, err error) error { return err }

func submission(c chat.ConversationID, by chat.UserID, body string) chat.Submission {
	return chat.Submission{Sender: by, Conversation: c, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: body, ReceivedAt: time.Now()}
}

func send(t *testing.T, s *postgres.Store, c chat.ConversationID, by chat.UserID, body string) chat.Message {
	t.Helper()
	out, err := s.Append(t.Context(), []chat.Submission{submission(c, by, body)})
	if err != nil {
		t.Fatal(err)
	}
	if out[0].Verdict != chat.Stored {
		t.Fatalf("not stored: %+v", out[0])
	}
	return out[0].Message
}

// Behind PgBouncer in transaction mode the store keeps every promise.
func TestBehindPgBouncer(t *testing.T) {
	server := stacktest.Postgres(t)
	f := stacktest.Folder(t)
	bouncer, err := stack.StartPgBouncer(t.Context(), f, server)
	if err != nil {
		t.Fatal(err)
	}
	// Only the connection to the server differs, and every call uses it; so fewer
	// histories than in TestStore are enough.
	storetest.Run(t, newHarness(5, func(url string) string { return bouncer.URL(url) + "&default_query_exec_mode=cache_describe" }))
}

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
	createUser(t, openAt(t, postgres.Config{URL: url}), "someone")
}

// An error of Open is one line that names the setting and the cure.
func TestCannotOpen(t *testing.T) {
	server := stacktest.Postgres(t)
	good := newDatabase(t)
	newer := newDatabase(t)
	for _, sql := range []string{`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`} {
		if err := server.Exec(t.Context(), databaseOf(newer), sql); err != nil {
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

func databaseOf(url string) string {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		panic(err)
	}
	return cfg.Database
}

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
	s := openAt(t, postgres.Config{URL: url})
	u := createUser(t, s, "someone")
	c := createGroup(t, s, u)
	epoch, _ := s.Epoch()
	acknowledged := 0
	for round := range 3 {
		// A connection of before may be left, of the background's work.
		first := []chat.Submission{submission(c, u, "x")}
		eventually.Nil(t, "a message is stored", func() error { return second(s.Append(t.Context(), first)) })
		acknowledged++
		for range 19 {
			send(t, s, c, u, "x")
			acknowledged++
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // nothing can come in it
		_, err := s.Append(ctx, []chat.Submission{submission(c, u, "lost")})
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

// No read on a replica is older than what was committed before it began, even
// when the replica is far behind.
func TestReplicaBehind(t *testing.T) {
	server := stacktest.Postgres(t)
	url := newDatabase(t)
	replica, err := server.StartReplica(t.Context(), "replica")
	if err != nil {
		t.Fatal(err)
	}
	s := openAt(t, postgres.Config{URL: url, Replicas: []string{replica.URL(databaseOf(url))}})
	u := createUser(t, s, "someone")
	c := createGroup(t, s, u)
	check := func(what string) {
		t.Helper()
		for range 50 {
			want := send(t, s, c, u, what)
			page, err := s.History(t.Context(), c, u, 1, 1<<31, true, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Messages) != 1 || page.Messages[0].Seq != want.Seq {
				t.Fatalf("%s: message %d was stored, and the newest is %+v", what, want.Seq, page.Messages)
			}
		}
	}
	eventually.True(t, "the replica answers", func() bool { check("fresh"); return s.ReplicaReads() > 0 })
	// Five seconds behind, as a replica under load may be.
	for _, sql := range []string{`ALTER SYSTEM SET recovery_min_apply_delay = '5s'`, `SELECT pg_reload_conf()`} {
		if err := replica.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	check("lagging")
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	check("gone")
}

// One address may stand for several replicas (a load balancer, a connection
// pooler): the position of one of them says nothing about the others.
func TestReplicasBehindOneAddress(t *testing.T) {
	server := stacktest.Postgres(t)
	url := newDatabase(t)
	var ports []int
	var paused *stack.Postgres
	for _, name := range []string{"paused", "following"} {
		replica, err := server.StartReplica(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, replica.Port())
		if name == "paused" {
			paused = replica
		}
	}
	service := balance(t, ports)
	at := strings.Replace(url, fmt.Sprintf(":%d/", server.Port()), fmt.Sprintf(":%d/", service), 1)
	s := openAt(t, postgres.Config{URL: url, Replicas: []string{at}})
	u := createUser(t, s, "someone")
	c := createGroup(t, s, u)
	if err := paused.Exec(t.Context(), "postgres", `SELECT pg_wal_replay_pause()`); err != nil {
		t.Fatal(err)
	}
	fresh := func() {
		t.Helper()
		want := send(t, s, c, u, "fresh")
		var readers errgroup.Group // at once, so that several connections are used
		for range 16 {
			readers.Go(func() error {
				page, err := s.History(t.Context(), c, u, 1, 1<<31, true, 1)
				if err == nil && (len(page.Messages) != 1 || page.Messages[0].Seq != want.Seq) {
					err = fmt.Errorf("message %d was stored, and the newest is %+v", want.Seq, page.Messages)
				}
				return err
			})
		}
		if err := readers.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "a replica answers", func() bool { fresh(); return s.ReplicaReads() > 0 })
	for range 60 {
		fresh()
	}
}

// balance forwards each connection to the next of some ports, and returns its own
// port.
func balance(t *testing.T, ports []int) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for i := 0; ; i++ {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", ports[i%len(ports)]))
			if err != nil {
				_ = client.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				go func() {
					_, _ = io.Copy(way[1], way[0])
					_, _ = client.Close(), server.Close()
				}()
			}
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// Messages of several months: pages, changes and duplicates span months, and the
// client ids of a detached month are still known.
func TestPartitions(t *testing.T) {
	url := newDatabase(t)
	now := time.Date(2026, 10, 31, 23, 59, 0, 0, time.UTC)
	s := openAt(t, postgres.Config{URL: url, Now: func() time.Time { return now }})
	u := createUser(t, s, "someone")
	c := createGroup(t, s, u)
	first := submission(c, u, "the very first")
	if _, err := s.Append(t.Context(), []chat.Submission{first}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if i%10 == 9 {
			now = now.AddDate(0, 1, 0)
		}
		if i == 25 {
			now = now.AddDate(0, -2, 0) // a worker whose clock is behind
		}
		send(t, s, c, u, fmt.Sprint(i))
	}
	if _, err := s.EditMessage(t.Context(), c, 3, u, "edited"); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 7, 100} {
		for _, backward := range []bool{false, true} {
			var got []int64
			for from, to := int64(1), int64(41); from <= to; {
				page, err := s.History(t.Context(), c, u, from, to, backward, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range page.Messages {
					got = append(got, m.Seq)
				}
				if backward {
					to = page.Messages[0].Seq - 1
				} else {
					from = page.Messages[len(page.Messages)-1].Seq + 1
				}
			}
			if len(got) != 41 {
				t.Errorf("limit %d, backward %v: %d messages", limit, backward, len(got))
			}
		}
	}
	changes, _, err := s.Changes(t.Context(), c, u, 0, 1000)
	if err != nil || len(changes) != 41 || changes[40].Body != "edited" {
		t.Errorf("changes: %d, %v", len(changes), err)
	}
	if err := stacktest.Postgres(t).Exec(t.Context(), databaseOf(url), `ALTER TABLE messages DETACH PARTITION messages_2026_10`); err != nil {
		t.Fatal(err)
	}
	out, err := s.Append(t.Context(), []chat.Submission{first})
	if err != nil || out[0].Verdict != chat.Duplicate || out[0].Message.Seq != 1 || !out[0].Message.Deleted() {
		t.Errorf("sent again after its month was detached: %+v, %v", out, err)
	}
	page, err := s.History(t.Context(), c, u, 1, 41, true, 5)
	if err != nil || len(page.Messages) != 5 {
		t.Errorf("the newest page after a month was detached: %d, %v", len(page.Messages), err)
	}
}

// A partition that is missing, whoever took it away, is made when it is needed:
// that is not the fault of the messages.
func TestMissingPartition(t *testing.T) {
	url := newDatabase(t)
	now := time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC)
	s := openAt(t, postgres.Config{URL: url, Now: func() time.Time { return now }})
	u := createUser(t, s, "someone")
	c := createGroup(t, s, u)
	for _, step := range []struct {
		take   string
		months int // that the clock goes first
		found  int // messages that were not taken away with it
	}{
		{`SELECT`, 0, 0},
		{`ALTER TABLE messages DETACH PARTITION messages_2026_10`, 0, 0},
		{`DROP TABLE messages_2026_10, messages_2026_10_2`, 0, 0},
		{`SELECT`, 1, 1},
		// The conversation stays in November, also when the clock is set back.
		{`DROP TABLE messages_2026_11`, -1, 1},
	} {
		now = now.AddDate(0, step.months, 0)
		if err := stacktest.Postgres(t).Exec(t.Context(), databaseOf(url), step.take); err != nil {
			t.Fatal(err)
		}
		send(t, s, c, u, step.take)
		page, err := s.History(t.Context(), c, u, 1, 1<<31, false, 10)
		if err != nil || len(page.Messages) != step.found+1 || page.Messages[step.found].Body != step.take {
			t.Fatalf("after %s in %v: %+v, %v", step.take, now, page, err)
		}
	}
}

// A device that was offline while a month was detached misses nothing of the
// other months, whatever the last change that it saw.
func TestChangesAfterDetach(t *testing.T) {
	url := newDatabase(t)
	now := time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC)
	s := openAt(t, postgres.Config{URL: url, Now: func() time.Time { return now }})
	u := createUser(t, s, "someone")
	c := createGroup(t, s, u)
	const detached, all = 40, 50
	edit := func(seq int64, text string) {
		t.Helper()
		if _, err := s.EditMessage(t.Context(), c, seq, u, text); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all {
		if i == detached {
			// Many changes widen the range of the search; changes of many
			// messages fill pages.
			for i := range detached {
				edit(int64(i+1), "edited in October")
			}
			now = now.AddDate(0, 1, 0)
		}
		send(t, s, c, u, fmt.Sprint(i))
	}
	for i := range 60 {
		edit(all, fmt.Sprint("edit ", i))
	}
	changes := func(rev int64, limit int) []chat.Message {
		t.Helper()
		out, _, err := s.Changes(t.Context(), c, u, rev, limit)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := changes(0, 1000)
	if len(before) != all {
		t.Fatalf("%d changes before the month was detached", len(before))
	}
	head := before[all-1].Rev
	if err := stacktest.Postgres(t).Exec(t.Context(), databaseOf(url), `ALTER TABLE messages DETACH PARTITION messages_2026_10`); err != nil {
		t.Fatal(err)
	}
	for rev := range head {
		var want []int64
		for i := range before {
			if m := &before[i]; m.Seq > detached && m.Rev > rev {
				want = append(want, m.Seq)
			}
		}
		for _, limit := range []int{3, 1000} {
			var got []int64
			for _, m := range changes(rev, limit) {
				got = append(got, m.Seq)
			}
			if !slices.Equal(got, want[:min(limit, len(want))]) {
				t.Errorf("changes after rev %d, at most %d: %v, want %v", rev, limit, got, want)
			}
		}
	}
}

// Processes whose clocks disagree, that crash and take over each other's numbers,
// never generate the same id.
func TestIDLeases(t *testing.T) {
	url := newDatabase(t)
	server := stacktest.Postgres(t)
	seen := map[chat.UserID]bool{}
	n := 0
	for round := range 6 {
		skew := time.Duration(3-round) * time.Hour
		s := openAt(t, postgres.Config{URL: url, IDClock: func() time.Time { return time.Now().Add(skew) }})
		for range 5 {
			n++
			id := createUser(t, s, fmt.Sprintf("user%d", n))
			if seen[id] {
				t.Fatalf("the id %d was generated twice", id)
			}
			seen[id] = true
		}
		// All numbers but one are taken, and that one has expired: the next
		// process has to take it over.
		if err := server.Exec(t.Context(), databaseOf(url), `UPDATE id_nodes SET expires = now();
			INSERT INTO id_nodes SELECT n, gen_random_uuid(), now() + interval '1 day', now() FROM generate_series(0, 1023) n
			WHERE n <> (SELECT min(node) FROM id_nodes) ON CONFLICT (node) DO NOTHING`); err != nil {
			t.Fatal(err)
		}
	}
}

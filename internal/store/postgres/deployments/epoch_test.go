package deployments

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

// startServer starts a server of the test's own, with a database that has the
// schema.
func startServer(t *testing.T) (server *stack.Postgres, url string, start func(name string) *stack.Postgres) {
	t.Helper()
	f := stacktest.Folder(t)
	start = func(name string) *stack.Postgres {
		t.Helper()
		server, err := stack.StartPostgres(t.Context(), f, name)
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	server = start("postgresql")
	url, err := server.CreateDatabase(t.Context(), "hikyaku")
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, discard()); err != nil {
		t.Fatal(err)
	}
	return server, url, start
}

// catchUp lists what changed after a position, page by page.
func catchUp(t *testing.T, s *postgres.Store, u chat.UserID, at store.Position) ([]chat.ConversationID, store.Position) {
	t.Helper()
	var listed []chat.ConversationID
	for {
		page, next, more, err := s.Changed(t.Context(), u, at, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page {
			if page[i].Gone {
				t.Fatalf("gone: %+v", page[i])
			}
			listed = append(listed, page[i].ID)
		}
		if at = next; !more {
			return listed, at
		}
	}
}

// beginsAnew checks that a device with a position of another epoch is told so,
// then sees everything once, and then only what changes.
func beginsAnew(t *testing.T, s *postgres.Store, u chat.UserID, old store.Position, all []chat.ConversationID) {
	t.Helper()
	if _, _, _, err := s.Changed(t.Context(), u, old, 9); chat.CodeOf(err) != chat.CodeInvalid {
		t.Errorf("a position of another epoch: %v", err)
	}
	listed, at := catchUp(t, s, u, "")
	slices.Sort(listed)
	if !slices.Equal(listed, all) {
		t.Errorf("anew: listed %v, want %v", listed, all)
	}
	for _, c := range all {
		if listed, at = catchUp(t, s, u, at); len(listed) > 0 {
			t.Errorf("nothing changed: listed %v", listed)
		}
		if failed, err := s.Failures(t.Context(), u, at); err != nil || len(failed) > 0 {
			t.Errorf("nothing failed: listed %v, %v", failed, err)
		}
		if changed, err := s.HasChanged(t.Context(), []store.Device{{User: u, After: at}}); err != nil || changed[0] {
			t.Errorf("nothing changed, but the check says %v, %v", changed, err)
		}
		postgrestest.Send(t, s, c, u, "of the new epoch")
		if listed, at = catchUp(t, s, u, at); !slices.Equal(listed, []chat.ConversationID{c}) {
			t.Errorf("%d changed: listed %v", c, listed)
		}
	}
}

// query reads one value.
func query[T any](t *testing.T, url, sql string) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A dump is restored: into a cluster whose transaction ids are far behind those
// in the dump, and into the one that it comes from.
func TestRestoredDump(t *testing.T) {
	source, url, start := startServer(t)
	if err := execAsync(t, url, `DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`); err != nil {
		t.Fatal(err)
	}
	s := postgrestest.Open(t, postgres.Config{URL: url})
	u := postgrestest.CreateUser(t, s, "someone")
	all := []chat.ConversationID{postgrestest.CreateGroup(t, s, u), postgrestest.CreateGroup(t, s, u), postgrestest.CreateGroup(t, s, u)}
	for _, c := range all {
		postgrestest.Send(t, s, c, u, "kept")
	}
	refused := chat.Submission{Sender: u, Conversation: all[0], ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: "refused"}
	if _, err := s.Refuse(t.Context(), refused, chat.Refuse(chat.CodeInvalid, "", "a test")); err != nil {
		t.Fatal(err)
	}
	dump, err := source.Dump(t.Context(), "hikyaku")
	if err != nil {
		t.Fatal(err)
	}
	postgrestest.Send(t, s, all[0], u, "lost")
	_, at := catchUp(t, s, u, "")
	before, _ := s.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	epochs := map[string]bool{before: true}

	t.Run("into another cluster", func(t *testing.T) {
		target := start("another")
		url, err := target.CreateDatabase(t.Context(), "hikyaku")
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Restore(t.Context(), "hikyaku", dump); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"conversations", "members", "failures"} {
			if !query[bool](t, url, `SELECT bool_and(change > pg_current_xact_id()) FROM `+table) {
				t.Fatalf("the changes in %s are not of the future, and the test tests nothing", table)
			}
		}
		// All at once: one of them begins the epoch.
		stores := make([]*postgres.Store, 4)
		var opening sync.WaitGroup
		for i := range stores {
			opening.Go(func() { stores[i] = postgrestest.Open(t, postgres.Config{URL: url}) })
		}
		opening.Wait()
		for _, s := range stores {
			epoch, _ := s.Epoch()
			epochs[epoch] = true
		}
		if len(epochs) != 2 {
			t.Errorf("the epochs are %v; want that of before and another one", epochs)
		}
		beginsAnew(t, stores[0], u, at, all)
	})

	for name, restore := range map[string]func(t *testing.T) (database string){
		"into the same database": func(t *testing.T) string {
			for _, sql := range []string{`DROP SCHEMA public CASCADE`, `CREATE SCHEMA public`} {
				if err := source.Exec(t.Context(), "hikyaku", sql); err != nil {
					t.Fatal(err)
				}
			}
			if err := source.Restore(t.Context(), "hikyaku", dump); err != nil {
				t.Fatal(err)
			}
			return "hikyaku"
		},
		"a copy of the database": func(t *testing.T) string {
			if err := source.Exec(t.Context(), "postgres", `CREATE DATABASE copy TEMPLATE hikyaku`); err != nil {
				t.Fatal(err)
			}
			return "copy"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := postgrestest.Open(t, postgres.Config{URL: source.URL(restore(t))})
			if epoch, _ := s.Epoch(); epochs[epoch] {
				t.Errorf("the epoch %s is not new", epoch)
			}
			beginsAnew(t, s, u, at, all)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// execAsync runs a statement without waiting for the disk.
func execAsync(t *testing.T, url, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url+"&synchronous_commit=off")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), sql)
	return err
}

// A replica that had not received everything takes over while the store runs. What
// was cached of the lost history is not used, also where its numbers are given
// again.
func TestFailoverLosesChanges(t *testing.T) {
	primary, url, _ := startServer(t)
	replica, err := primary.StartReplica(t.Context(), "replica")
	if err != nil {
		t.Fatal(err)
	}
	service := newService(t, primary.Port())
	s := postgrestest.Open(t, postgres.Config{URL: strings.Replace(url, fmt.Sprintf(":%d/", primary.Port()), fmt.Sprintf(":%d/", service.port), 1)})
	u, other, third := postgrestest.CreateUser(t, s, "someone"), postgrestest.CreateUser(t, s, "other"), postgrestest.CreateUser(t, s, "third")
	all := []chat.ConversationID{postgrestest.CreateGroup(t, s, u, other), postgrestest.CreateGroup(t, s, u)}
	lsn := query[string](t, url, `SELECT pg_current_wal_flush_lsn()::text`)
	eventually.True(t, "the replica has received it", func() bool {
		return query[bool](t, replica.URL("hikyaku"), `SELECT pg_last_wal_receive_lsn() >= '`+lsn+`'`)
	})
	if err := replica.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	if _, err := s.RemoveMember(t.Context(), all[0], u, other); err != nil {
		t.Fatal(err)
	}
	lost := postgrestest.Send(t, s, all[0], u, "lost")
	_, at := catchUp(t, s, u, "")
	before, changed := s.Epoch()
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := replica.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := replica.Exec(t.Context(), "postgres", `SELECT pg_promote()`); err != nil {
		t.Fatal(err)
	}
	service.leadTo(replica.Port())

	// Another person is the new member at the same MembersRev.
	eventually.Nil(t, "the store works again", func() error {
		return second(s.AddMembers(t.Context(), all[0], u, []chat.UserID{third}))
	})
	out, err := s.Append(t.Context(), []chat.Submission{postgrestest.Submission(all[0], u, "in its place")})
	if err != nil {
		t.Fatal(err)
	}
	if m := out[0].Message; m.Seq != lost.Seq || m.Rev != lost.Rev {
		t.Fatalf("the message has seq %d and rev %d, the lost one %d and %d, and the test tests nothing", m.Seq, m.Rev, lost.Seq, lost.Rev)
	}
	if got, want := out[0].Audience.Members, []chat.UserID{u, other, third}; !slices.Equal(got, want) {
		t.Errorf("the message goes to %v, and the members are %v", got, want)
	}
	eventually.Receive(t, "the epoch has changed", changed)
	if epoch, _ := s.Epoch(); epoch == before {
		t.Error("the epoch is the same")
	}
	beginsAnew(t, s, u, at, all)
}

// A replica that had received more than the one that was promoted knows of changes
// that are no more. It is not read from, however far it is; one of the new primary
// is.
func TestReplicaOfLostTimeline(t *testing.T) {
	primary, url, _ := startServer(t)
	replicas := map[string]*stack.Postgres{}
	for _, name := range []string{"behind", "ahead"} {
		r, err := primary.StartReplica(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		replicas[name] = r
	}
	before := postgrestest.Open(t, postgres.Config{URL: url})
	u := postgrestest.CreateUser(t, before, "someone")
	c := postgrestest.CreateGroup(t, before, u)
	received := func(r *stack.Postgres) {
		t.Helper()
		lsn := query[string](t, url, `SELECT pg_current_wal_flush_lsn()::text`)
		eventually.True(t, "the replica has it", func() bool {
			return query[bool](t, r.URL("hikyaku"), `SELECT pg_last_wal_replay_lsn() >= '`+lsn+`'`)
		})
	}
	received(replicas["behind"])
	if err := replicas["behind"].Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		postgrestest.Send(t, before, c, u, "lost "+strings.Repeat("x", 1000))
	}
	received(replicas["ahead"])
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	promoted := replicas["behind"]
	if err := promoted.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := promoted.Exec(t.Context(), "postgres", `SELECT pg_promote()`); err != nil {
		t.Fatal(err)
	}
	read := func(s *postgres.Store, want ...string) {
		t.Helper()
		page, err := s.History(t.Context(), c, u, 1, 1<<31, false, 100)
		if err != nil || len(page.Messages) != len(want) || page.Messages[0].Body != want[0] {
			t.Fatalf("want %q, and read %d messages: %+v, %v", want, len(page.Messages), page, err)
		}
	}
	s := postgrestest.Open(t, postgres.Config{URL: promoted.URL("hikyaku"), Replicas: []string{replicas["ahead"].URL("hikyaku")}})
	postgrestest.Send(t, s, c, u, "kept")
	read(s, "kept")
	if n := s.ReplicaReads(); n != 0 {
		t.Errorf("the replica of the lost timeline has answered %d reads", n)
	}

	follower, err := promoted.StartReplica(t.Context(), "follower")
	if err != nil {
		t.Fatal(err)
	}
	s = postgrestest.Open(t, postgres.Config{URL: promoted.URL("hikyaku"), Replicas: []string{follower.URL("hikyaku")}})
	eventually.True(t, "the replica of the new primary answers", func() bool { read(s, "kept"); return s.ReplicaReads() > 0 })
}

// service is an address behind which the server changes.
type service struct {
	port   int
	target atomic.Int64
	mu     sync.Mutex
	open   []net.Conn
}

func newService(t *testing.T, target int) *service {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{port: l.Addr().(*net.TCPAddr).Port}
	s.target.Store(int64(target))
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		s.cut()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", s.target.Load()))
			if err != nil {
				_ = client.Close()
				continue
			}
			s.mu.Lock()
			s.open = append(s.open, client, server)
			s.mu.Unlock()
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				running.Go(func() {
					_, _ = io.Copy(way[1], way[0])
					_, _ = client.Close(), server.Close()
				})
			}
		}
	})
	return s
}

// leadTo ends all connections, and leads new ones to another server.
func (s *service) leadTo(target int) {
	s.target.Store(int64(target))
	s.cut()
}

func (s *service) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		_ = c.Close()
	}
	s.open = nil
}

// An ordinary user may read which history the server is of; where that was taken
// from it, the operator's command is left.
func TestEpochOfOrdinaryUser(t *testing.T) {
	server := stacktest.Postgres(t)
	url := stacktest.Database(t)
	name := postgrestest.DatabaseName(url)
	role := name + "_owner"
	for _, sql := range []string{
		`CREATE ROLE ` + role + ` LOGIN PASSWORD 'ordinary'`,
		`ALTER DATABASE ` + name + ` OWNER TO ` + role,
		`ALTER SCHEMA public OWNER TO ` + role,
	} {
		if err := server.Exec(t.Context(), name, sql); err != nil {
			t.Fatal(err)
		}
	}
	own := stacktest.WithCredentials(url, role, "ordinary")
	if err := postgres.Migrate(t.Context(), own, discard()); err != nil {
		t.Fatal(err)
	}
	s := postgrestest.Open(t, postgres.Config{URL: own})
	first, _ := s.Epoch()
	if h := query[string](t, url, `SELECT history FROM installation`); strings.Count(h, "/") != 3 {
		t.Errorf("the history is %q", h)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Exec(t.Context(), name, `REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC`); err != nil {
		t.Fatal(err)
	}
	s = postgrestest.Open(t, postgres.Config{URL: own})
	if again, _ := s.Epoch(); again != first || first == "" {
		t.Errorf("the epoch was %q and is %q", first, again)
	}
	u := postgrestest.CreateUser(t, s, "someone")
	c := postgrestest.CreateGroup(t, s, u)
	_, at := catchUp(t, s, u, "")
	if _, err := s.NewEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	beginsAnew(t, s, u, at, []chat.ConversationID{c})
}

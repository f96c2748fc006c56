package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/snowflake"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// nodes counts the simulated processes.
var nodes atomic.Int64

func open(t *testing.T, path string) *Store {
	t.Helper()
	maker, err := snowflake.NewGenerator(int(nodes.Add(1))&snowflake.MaxNode, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Path: path, NewID: maker.Next, Logger: slog.New(slog.DiscardHandler)})
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

func openFresh(t *testing.T) *Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "hikyaku.db"))
}

func user(t *testing.T, s *Store, name string) chat.UserID {
	t.Helper()
	u, err := s.CreateUser(t.Context(), store.NewUser{Name: name, Skeleton: name, DisplayName: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func group(t *testing.T, s *Store, by chat.UserID, others ...chat.UserID) chat.ConversationID {
	t.Helper()
	c, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "x", By: by, Members: others})
	if err != nil {
		t.Fatal(err)
	}
	return c.Conversation.ID
}

var lastID atomic.Int64

func submission(c chat.ConversationID, by chat.UserID) chat.Submission {
	n := lastID.Add(1)
	s := chat.Submission{Sender: by, Conversation: c, Body: fmt.Sprint("message ", n)}
	copy(s.ClientID[:], fmt.Sprintf("%016d", n))
	return s
}

func send(t *testing.T, s *Store, c chat.ConversationID, by chat.UserID) chat.Message {
	t.Helper()
	out, err := s.Append(t.Context(), []chat.Submission{submission(c, by)})
	if err != nil {
		t.Fatal(err)
	}
	if out[0].Verdict != chat.Stored {
		t.Fatalf("%+v", out[0])
	}
	return out[0].Message
}

// runInOneGroup runs jobs in one transaction and returns their errors.
func runInOneGroup(t *testing.T, s *Store, jobs ...func() error) []error {
	t.Helper()
	release, started := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		_, _ = change(t.Context(), s, "hold", func(*tx) (int, error) {
			close(started)
			<-release
			return 0, nil
		})
	})
	<-started
	errs := make([]error, len(jobs))
	var wg sync.WaitGroup
	for i, job := range jobs {
		wg.Go(func() { errs[i] = job() })
		// They are queued one by one, to keep the order.
		eventually.True(t, "it is queued", func() bool { return len(s.writer.queue) > i })
	}
	close(release)
	wg.Wait()
	first.Wait()
	return errs
}

// TestGroupWithFailingJob: a job that fails after a write does not affect the
// others, and the writer's cache is correct afterwards.
func TestGroupWithFailingJob(t *testing.T) {
	s := openFresh(t)
	u := user(t, s, "u")
	c := group(t, s, u)
	send(t, s, c, u)
	boom := errors.New("boom")
	batch := func() error {
		out, err := s.Append(t.Context(), []chat.Submission{submission(c, u)})
		if err == nil && out[0].Verdict != chat.Stored {
			err = fmt.Errorf("%+v", out[0])
		}
		return err
	}
	fail := func(err error) func() error {
		return func() error {
			_, e := change(t.Context(), s, "fail", func(tx *tx) (int, error) {
				cached, _, e := tx.conversationAsMember(c, u)
				if e != nil {
					return 0, e
				}
				cached.Seq, cached.Rev = cached.Seq+100, cached.Rev+100
				if e := tx.saveHead(cached); e != nil {
					return 0, e
				}
				tx.wrote = true
				return 0, err
			})
			return e
		}
	}
	errs := runInOneGroup(t, s, batch, fail(boom), batch, fail(chat.NotFound("thing")), batch)
	for i, err := range errs {
		switch i {
		case 1:
			if !errors.Is(err, boom) {
				t.Errorf("job %d: %v", i, err)
			}
		case 3:
			if chat.CodeOf(err) != chat.CodeNotFound {
				t.Errorf("job %d: %v", i, err)
			}
		default:
			if err != nil {
				t.Errorf("job %d: %v", i, err)
			}
		}
	}
	if m := send(t, s, c, u); m.Seq != 5 || m.Rev != 6 {
		t.Errorf("the next message has seq %d and rev %d", m.Seq, m.Rev)
	}
	sum, err := s.Conversation(t.Context(), c, u)
	if err != nil || sum.Seq != 5 || sum.Rev != 6 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestFailedCommit: every job of the group fails, and nothing of it is stored.
func TestFailedCommit(t *testing.T) {
	s := openFresh(t)
	u := user(t, s, "u")
	c := group(t, s, u)
	batch := func() error {
		_, err := s.Append(t.Context(), []chat.Submission{submission(c, u)})
		return err
	}
	breakCommit := func() error {
		_, err := change(t.Context(), s, "break", func(tx *tx) (int, error) {
			if _, err := tx.exec(`PRAGMA defer_foreign_keys = ON`); err != nil {
				return 0, err
			}
			_, err := tx.exec(`INSERT INTO sessions (id, user, token, device, created_at, seen_at, expires_at)
				VALUES (1, 12345, x'00', '', 0, 0, 0)`)
			return 0, err
		})
		return err
	}
	for i, err := range runInOneGroup(t, s, batch, breakCommit, batch) {
		if err == nil {
			t.Errorf("job %d was acknowledged", i)
		}
	}
	if m := send(t, s, c, u); m.Seq != 1 || m.Rev != 2 {
		t.Errorf("the first message has seq %d and rev %d", m.Seq, m.Rev)
	}
}

func TestFullDisk(t *testing.T) {
	s := openFresh(t)
	u := user(t, s, "u")
	c := group(t, s, u)
	pages := func(n int) {
		if _, err := change(t.Context(), s, "limit", func(tx *tx) (int, error) {
			_, err := tx.conn.exec(fmt.Sprintf(`PRAGMA max_page_count = %d`, n))
			return 0, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	pages(100)
	stored := int64(0)
	var err error
	for range 1000 {
		in := submission(c, u)
		in.Body = strings.Repeat("x", 1000)
		if _, err = s.Append(t.Context(), []chat.Submission{in}); err != nil {
			break
		}
		stored++
	}
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), s.path) {
		t.Fatalf("after %d messages: %v", stored, err)
	}
	t.Log(err)
	if sum, err := s.Conversation(t.Context(), c, u); err != nil || sum.Seq != stored {
		t.Errorf("a full disk can be read: %d of %d, %v", sum.Seq, stored, err)
	}
	pages(1 << 30)
	if m := send(t, s, c, u); m.Seq != stored+1 {
		t.Errorf("the next message has seq %d, want %d", m.Seq, stored+1)
	}
}

// TestOtherProcess: accounts may be made by another process at any time, and
// even one that stores messages does no harm to the order.
func TestOtherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hikyaku.db")
	here, there := open(t, path), open(t, path)
	u := user(t, here, "u")
	c := group(t, here, u)
	for i := range 6 {
		v := user(t, there, fmt.Sprint("v", i))
		if _, err := here.AddMembers(t.Context(), c, u, []chat.UserID{v}); err != nil {
			t.Fatal(err)
		}
		who := []*Store{here, there}[i%2]
		if m := send(t, who, c, v); m.Seq != int64(2*i+1) {
			t.Errorf("seq %d, want %d", m.Seq, 2*i+1)
		}
		send(t, here, c, u)
	}
}

// TestQueueHonoursContext: a caller that waits for the queue can give up.
func TestQueueHonoursContext(t *testing.T) {
	s := openFresh(t)
	release, started := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = change(t.Context(), s, "hold", func(*tx) (int, error) {
			close(started)
			<-release
			return 0, nil
		})
	})
	<-started
	for range cap(s.writer.queue) {
		wg.Go(func() {
			if err := s.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	eventually.True(t, "the queue is full", func() bool { return len(s.writer.queue) == cap(s.writer.queue) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(release)
	wg.Wait()
}

// TestDurabilitySettings: guarantee G1 depends on these settings of SQLite, and
// no other test would notice a mistake.
func TestDurabilitySettings(t *testing.T) {
	s := openFresh(t)
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "wal_autocheckpoint": "0"} {
		var got string
		if _, err := s.writer.conn.queryRow(`PRAGMA `+pragma, func(r row) { got = fmt.Sprint(r[0]) }); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
}

// TestWALStaysSmall writes much while readers read all the time.
func TestWALStaysSmall(t *testing.T) {
	stacktest.SkipIfShort(t)
	s := openFresh(t)
	var users []chat.UserID
	for i := range 20 {
		users = append(users, user(t, s, fmt.Sprint("u", i)))
	}
	var rooms []chat.ConversationID
	for range 40 {
		rooms = append(rooms, group(t, s, users[0], users[1:]...))
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := s.History(t.Context(), rooms[0], users[0], 1, 1<<30, true, 50); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var largest int64
	for i := range 150 {
		batch := make([]chat.Submission, 200)
		for k := range batch {
			batch[k] = submission(rooms[(i+k)%len(rooms)], users[k%len(users)])
			batch[k].Body = strings.Repeat("x", 400)
		}
		if _, err := s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(s.path + "-wal"); err == nil {
			largest = max(largest, info.Size())
		}
	}
	close(done)
	readers.Wait()
	info, err := os.Stat(s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the log grew to %d kB, the file to %d kB", largest>>10, info.Size()>>10)
	if limit := int64(6 * walPages * 4096); largest > limit {
		t.Errorf("the log grew to %d bytes, more than %d", largest, limit)
	}
}

// TestCacheIsBounded fills the cache beyond its bound.
func TestCacheIsBounded(t *testing.T) {
	k := newCache()
	for i := range 3000 {
		c := &cachedConversation{Conversation: chat.Conversation{ID: chat.ConversationID(i + 1)}, roles: map[chat.UserID]chat.Role{}}
		for u := range 100 {
			c.roles[chat.UserID(u)] = chat.Member
		}
		k.add(c)
		k.trim()
		if k.weight > maxCacheWeight {
			t.Fatalf("the weight is %d", k.weight)
		}
	}
	if len(k.byID) < maxCacheWeight/101-1 {
		t.Errorf("only %d are left", len(k.byID))
	}
	for id := range k.byID {
		k.remove(id)
	}
	if k.weight != 0 {
		t.Errorf("the weight of nothing is %d", k.weight)
	}
}

// TestQueryPlans: the statements of the hot paths use an index or a key.
func TestQueryPlans(t *testing.T) {
	s := openFresh(t)
	for name, query := range map[string]string{
		"page": selectPage, "page backward": selectPageBackward, "unchanged": selectUnchanged, "changed": selectChanged,
		"client id": `SELECT ` + messageColumns + ` FROM messages g JOIN conversations c ON c.slot = g.place >> 32
			WHERE g.client_id = ? AND g.sender = ?`,
		"members": `SELECT i.user FROM members i INDEXED BY members_by_conversation WHERE i.slot = ? AND i.role <> '' ORDER BY i.user`,
	} {
		err := s.writer.conn.query(`EXPLAIN QUERY PLAN `+query, func(r row) error {
			if step := r.text(3); strings.HasPrefix(step, "SCAN") || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s: %s", name, step)
			}
			return nil
		}, make([]any, strings.Count(query, "?"))...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

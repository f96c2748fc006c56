package postgres_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

// A transaction that holds one conversation keeps no other of the batch from
// being stored, and what is behind it in the held one is stored after it.
func TestHeldConversation(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	s := postgrestest.Open(t, postgres.Config{URL: url})
	anna, ben := postgrestest.CreateUser(t, s, "anna"), postgrestest.CreateUser(t, s, "ben")
	free, held, other := postgrestest.CreateGroup(t, s, anna, ben), postgrestest.CreateGroup(t, s, anna, ben), postgrestest.CreateGroup(t, s, anna, ben)
	tx := postgrestest.Hold(t, url, held)
	batch := []chat.Submission{
		postgrestest.Submission(held, anna, "1"), postgrestest.Submission(free, anna, "1"), postgrestest.Submission(held, ben, "2"), postgrestest.Submission(other, ben, "1"),
		postgrestest.Submission(12345, anna, "to nobody"), postgrestest.Submission(free, ben, "2"),
	}
	appendAll := func(batch []chat.Submission) []chat.Outcome {
		t.Helper()
		out, err := s.Append(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := appendAll(batch)
	for i := range out {
		switch batch[i].Conversation {
		case held:
			if !chat.Undecided(out[i].Refusal) {
				t.Errorf("message %d of the held conversation: %+v", i, out[i])
			}
		case 12345:
			if chat.CodeOf(out[i].Refusal) != chat.CodeNotFound {
				t.Errorf("a conversation that does not exist: %+v", out[i])
			}
		default:
			if out[i].Verdict != chat.Stored {
				t.Errorf("message %d is not stored: %+v", i, out[i])
			}
		}
	}
	// The same with a conversation that does not exist alone, and with nothing else.
	if out := appendAll([]chat.Submission{batch[0], postgrestest.Submission(12345, ben, "to nobody")}); !chat.Undecided(out[0].Refusal) || chat.CodeOf(out[1].Refusal) != chat.CodeNotFound {
		t.Errorf("%+v", out)
	}
	waiting := slices.DeleteFunc(batch, func(s chat.Submission) bool { return s.Conversation != held })
	undecided := func() time.Duration {
		t.Helper()
		began := time.Now()
		for i, o := range appendAll(waiting) {
			if !chat.Undecided(o.Refusal) {
				t.Errorf("message %d of the held conversation: %+v", i, o)
			}
		}
		return time.Since(began)
	}
	fastest := undecided()
	for range 4 {
		fastest = min(fastest, undecided())
	}
	if fastest >= time.Second {
		t.Errorf("what comes for the first time has waited for %v", fastest)
	}
	for i := range waiting {
		waiting[i].Retried = true
	}
	undecided()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, o := range appendAll(waiting) {
		if o.Verdict != chat.Stored || o.Message.Seq != int64(i+1) {
			t.Errorf("message %d after the transaction has ended: %+v", i, o)
		}
	}
}

// A conversation that is busy gets its turn beside one that never is free.
func TestHeldConversationsAreIndependent(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	s := postgrestest.Open(t, postgres.Config{URL: url})
	anna := postgrestest.CreateUser(t, s, "anna")
	busy, held := postgrestest.CreateGroup(t, s, anna), postgrestest.CreateGroup(t, s, anna)
	observer, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = observer.Close(eventually.Context(t)) })
	postgrestest.Hold(t, url, held)
	batch := []chat.Submission{postgrestest.Submission(busy, anna, "1"), postgrestest.Submission(held, anna, "1")}
	for i := range batch {
		batch[i].Retried = true
	}
	for range 20 { // each time, one of both is waited for
		tx := postgrestest.Hold(t, url, busy)
		answer := make(chan []chat.Outcome, 1)
		go func() {
			out, err := s.Append(eventually.Context(t), batch)
			if err != nil {
				t.Error(err)
			}
			answer <- out
		}()
		eventually.Nil(t, "the batch waits", func() error {
			if len(answer) > 0 {
				return nil
			}
			var waiting int
			err := observer.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
			if err == nil && waiting == 0 {
				err = errors.New("nobody waits for a lock")
			}
			return err
		})
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		out := eventually.Receive(t, "the batch is over", answer)
		if len(out) != 2 || !chat.Undecided(out[1].Refusal) {
			t.Fatalf("%+v", out)
		}
		if out[0].Verdict == chat.Stored {
			return
		}
	}
	t.Error("the busy conversation never had its turn")
}

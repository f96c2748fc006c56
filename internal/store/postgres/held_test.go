package postgres_test

import (
	"slices"
	"testing"

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
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(eventually.Context(t)) })
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM conversations WHERE id = $1 FOR UPDATE`, held); err != nil {
		t.Fatal(err)
	}
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
	for i, o := range appendAll(waiting) {
		if !chat.Undecided(o.Refusal) {
			t.Errorf("message %d of the held conversation: %+v", i, o)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, o := range appendAll(waiting) {
		if o.Verdict != chat.Stored || o.Message.Seq != int64(i+1) {
			t.Errorf("message %d after the transaction has ended: %+v", i, o)
		}
	}
}

package postgres

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// decidesKnown reports whether a store decides about a message of a user without
// having read the conversation, and stores it if nothing has changed meanwhile.
func decidesKnown(t *testing.T, s *Store, c chat.ConversationID, by chat.UserID, meanwhile func()) bool {
	t.Helper()
	conn, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	a := newAppendBatch(t.Context(), s, conn, []chat.Submission{newSubmission(c, by)}, truncateTime(time.Now()))
	if !a.decideKnown() {
		return false
	}
	meanwhile()
	err = a.saveKnown()
	if err == nil {
		return true
	}
	if _, rollback := conn.Exec(t.Context(), `rollback`); rollback != nil || !isOutdated(err) {
		t.Fatalf("saving by what was known: %v; %v", err, rollback)
	}
	return false
}

func newSubmission(c chat.ConversationID, by chat.UserID) chat.Submission {
	return chat.Submission{Sender: by, Conversation: c, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: "hello"}
}

// newConversation makes a conversation of two.
func newConversation(t *testing.T, s *Store) (c chat.ConversationID, owner, member chat.UserID) {
	t.Helper()
	users := make([]chat.UserID, 2)
	for i := range users {
		name := "user" + uuid.NewString()
		u, err := s.CreateUser(t.Context(), store.NewUser{Name: name, Skeleton: name, DisplayName: name, Password: "x"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		users[i] = u.ID
	}
	created, err := s.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "room", By: users[0], Members: users[1:]})
	if err != nil {
		t.Fatal(err)
	}
	return created.Conversation.ID, users[0], users[1]
}

// A conversation that this process has written to is not read again, unless another
// one has changed it.
func TestKnownConversation(t *testing.T) {
	_, open := withoutServerTimeouts(t)
	s, other := open(), open()
	c, owner, member := newConversation(t, s)
	nothing := func() {}
	if decidesKnown(t, s, c, owner, nothing) {
		t.Error("a conversation is known that was never written to")
	}
	send := func(s *Store, by chat.UserID) (seq int64) {
		t.Helper()
		out, err := s.Append(t.Context(), []chat.Submission{newSubmission(c, by)})
		if err != nil || out[0].Verdict != chat.Stored {
			t.Fatalf("%+v, %v", out, err)
		}
		return out[0].Message.Seq
	}
	send(s, owner)
	if !decidesKnown(t, s, c, member, nothing) || !decidesKnown(t, s, c, owner, nothing) {
		t.Error("what was written is not known")
	}
	for _, meanwhile := range []struct {
		what   string
		change func() error
	}{
		{"another process writes", func() error { send(other, owner); return nil }},
		{"it is renamed", func() error {
			title := uuid.NewString()
			_, err := other.UpdateConversation(t.Context(), c, owner, &title, nil)
			return err
		}},
		{"a message is edited", func() error {
			_, err := other.EditMessage(t.Context(), c, 1, owner, uuid.NewString())
			return err
		}},
		{"a member leaves", func() error {
			_, err := other.RemoveMember(t.Context(), c, member, member)
			return err
		}},
		{"a member comes", func() error {
			_, err := other.AddMembers(t.Context(), c, owner, []chat.UserID{member})
			return err
		}},
	} {
		before := send(s, owner)
		if decidesKnown(t, s, c, owner, func() {
			if err := meanwhile.change(); err != nil {
				t.Fatalf("%s: %v", meanwhile.what, err)
			}
		}) {
			t.Errorf("%s, and a message is stored by what was known before", meanwhile.what)
		}
		if seq := send(s, owner); seq <= before || seq > before+2 {
			t.Errorf("%s: %d follows %d", meanwhile.what, seq, before)
		}
	}
	// History went back and on again: the rev is the same, and there are more messages.
	before := send(s, owner)
	if _, err := other.pool.Exec(t.Context(), `UPDATE conversations SET seq = seq + 1 WHERE id = $1`, c); err != nil {
		t.Fatal(err)
	}
	if decidesKnown(t, s, c, owner, func() {}) {
		t.Error("a message is stored by a seq that is not the conversation's")
	}
	if seq := send(s, owner); seq != before+2 {
		t.Errorf("%d follows %d, which was lost, and %d", seq, before+1, before)
	}
	if _, err := other.RemoveMember(t.Context(), c, owner, member); err != nil && chat.CodeOf(err) != chat.CodeNotFound {
		t.Fatal(err)
	}
	out, err := s.Append(t.Context(), []chat.Submission{newSubmission(c, member)})
	if err != nil || chat.CodeOf(out[0].Refusal) != chat.CodeNotFound {
		t.Errorf("who has left may write: %+v, %v", out, err)
	}
}

// However processes that write to the same conversations take turns, each message is
// stored once, and they are numbered without a hole.
func TestKnownConversationsOfTwoProcesses(t *testing.T) {
	_, open := withoutServerTimeouts(t)
	stores := []*Store{open(), open()}
	rapid.Check(t, func(r *rapid.T) {
		const conversations = 3
		type room struct {
			id      chat.ConversationID
			members []chat.UserID
			seq     int64
		}
		rooms := make([]room, conversations)
		for i := range rooms {
			c, owner, member := newConversation(t, stores[0])
			rooms[i] = room{id: c, members: []chat.UserID{owner, member}}
		}
		var sent []chat.Submission
		for range rapid.IntRange(1, 12).Draw(r, "batches") {
			s := rapid.SampledFrom(stores).Draw(r, "store")
			if at := &rooms[rapid.IntRange(0, conversations-1).Draw(r, "renamed")]; rapid.IntRange(0, 4).Draw(r, "rename") == 0 {
				title := uuid.NewString()
				if _, err := rapid.SampledFrom(stores).Draw(r, "renaming").UpdateConversation(t.Context(), at.id, at.members[0], &title, nil); err != nil {
					r.Fatal(err)
				}
			}
			var batch []chat.Submission
			for range rapid.IntRange(1, 5).Draw(r, "messages") {
				if len(sent) > 0 && rapid.IntRange(0, 9).Draw(r, "again") == 0 {
					batch = append(batch, rapid.SampledFrom(sent).Draw(r, "message"))
					continue
				}
				at := &rooms[rapid.IntRange(0, conversations-1).Draw(r, "room")]
				batch = append(batch, newSubmission(at.id, rapid.SampledFrom(at.members).Draw(r, "sender")))
			}
			out, err := s.Append(t.Context(), batch)
			if err != nil {
				r.Fatal(err)
			}
			for i, o := range out {
				again := slices.ContainsFunc(sent, func(e chat.Submission) bool { return e.ClientID == batch[i].ClientID })
				at := &rooms[slices.IndexFunc(rooms, func(at room) bool { return at.id == batch[i].Conversation })]
				switch {
				case again && o.Verdict != chat.Duplicate:
					r.Fatalf("sent again: %+v", o)
				case !again && (o.Verdict != chat.Stored || o.Message.Seq != at.seq+1):
					r.Fatalf("%+v follows %d", o, at.seq)
				case !again:
					at.seq++
					sent = append(sent, batch[i])
				}
			}
		}
	})
}

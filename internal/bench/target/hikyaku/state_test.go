package hikyaku

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

type seqListener []int64

func (l *seqListener) Answered(int, target.Answer) {}

func (l *seqListener) Received(_ int, seq int64, _ []byte) { *l = append(*l, seq) }

func (l *seqListener) Ended(error) {}

// one returns a user in one conversation, on a connection that is synced and has
// no socket: requests are never sent.
func one() (c *conn, heard *seqListener) {
	heard = &seqListener{}
	s := &site{
		rooms: []chat.ConversationID{7}, index: map[string]int{"7": 0, "8": 1},
		states: []*syncState{{rooms: map[int]*roomState{0: {}}, listed: true}},
	}
	return &conn{site: s, on: heard, sync: s.states[0], isSynced: true}, heard
}

func (c *conn) handlePushed(room string, revs ...int64) {
	for _, rev := range revs {
		c.handleFrame(client.Frame{T: "message", Raw: fmt.Appendf(nil, `{"t":"message","conversation":%q,"seq":%d,"rev":%d,"body":"x"}`, room, rev, rev)})
	}
}

func (c *conn) handleAnswer(t *testing.T, id string, more bool, revs ...int64) {
	t.Helper()
	f := wire.Changes{T: "changes", ID: id, Conversation: 7, More: more}
	for _, rev := range revs {
		f.Messages = append(f.Messages, wire.Message{Conversation: 7, Seq: rev, Rev: rev, ID: 1, Sender: 1, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: "x"})
		f.Rev = rev
	}
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	c.handleFrame(client.Frame{T: "changes", Raw: raw})
}

func (l *seqListener) requireSeqs(t *testing.T, seqs ...int64) {
	t.Helper()
	if !slices.Equal(*l, seqs) {
		t.Errorf("%v instead of %v", *l, seqs)
	}
}

// One pushed copy of a message from an answer is no duplicate, whether it comes
// before or after the answer; the next one is.
func TestOneCopyIsNoDuplicate(t *testing.T) {
	c, heard := one()
	c.handlePushed("7", 1, 3)
	c.handleAnswer(t, c.sync.rooms[0].gap.id, false, 2, 3, 4)
	heard.requireSeqs(t, 1, 2, 3, 4)
	c.handlePushed("7", 2, 4) // were on their way
	heard.requireSeqs(t, 1, 2, 3, 4)
	c.handlePushed("7", 5)
	heard.requireSeqs(t, 1, 2, 3, 4, 5)
	c.handlePushed("7", 2, 3, 4, 5, 1)
	heard.requireSeqs(t, 1, 2, 3, 4, 5, 2, 3, 4, 5, 1)
	if c.site.Repaired() != 3 {
		t.Errorf("%d repaired", c.site.Repaired())
	}
}

// A message that is pushed before its turn, and again in its turn, is a duplicate.
func TestDuplicatePushedEarly(t *testing.T) {
	c, heard := one()
	c.handlePushed("7", 2, 1, 2)
	heard.requireSeqs(t, 1, 2, 2)
}

// The late answer to a question that was asked twice says nothing of the next
// question.
func TestLateAnswer(t *testing.T) {
	c, heard := one()
	c.handlePushed("7", 2)
	first := c.sync.rooms[0].gap.id
	c.handleAnswer(t, first, false, 1, 2)
	c.handlePushed("7", 4)
	c.handleAnswer(t, first, false, 2)
	if s := c.sync.rooms[0]; s.rev != 2 || !s.syncing() {
		t.Errorf("at %d", s.rev)
	}
	c.handleAnswer(t, c.sync.rooms[0].gap.id, false, 3, 4)
	heard.requireSeqs(t, 1, 2, 3, 4)
}

// Messages of a conversation that the user is not in are passed on, and never
// requested.
func TestForeignMessages(t *testing.T) {
	c, heard := one()
	c.handlePushed("8", 5, 5)
	heard.requireSeqs(t, 5, 5)
	if c.syncs != 0 || len(c.sync.rooms) != 1 {
		t.Error("the conversation is taken for one's own")
	}
}

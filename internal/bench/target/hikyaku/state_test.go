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
func one(t *testing.T) (c *conn, heard *seqListener) {
	t.Helper()
	c, heard = unsynced()
	c.receiveList(t, 0)
	if !c.isSynced {
		t.Fatal("something is missing of an empty conversation")
	}
	return c, heard
}

// unsynced is the same before the list has come.
func unsynced() (c *conn, heard *seqListener) {
	heard = &seqListener{}
	s := &site{
		rooms: []chat.ConversationID{7}, index: map[chat.ConversationID]int{7: 0, 8: 1},
		states: make([]syncState, 1),
	}
	c = &conn{site: s, on: heard, sync: &s.states[0], synced: make(chan struct{})}
	c.connected(1, "")
	return c, heard
}

// receiveList receives the answer to the first sync.
func (c *conn) receiveList(t *testing.T, rev int64) {
	t.Helper()
	c.receive(t, "synced", wire.Synced{T: "synced", ID: "1", Conversations: []wire.Summary{
		{Conversation: wire.Conversation{ID: 7, Kind: chat.Direct, Rev: rev}, Role: chat.Member},
	}})
}

func (c *conn) receive(t *testing.T, frameType string, frame any) {
	t.Helper()
	raw, err := json.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	c.handleFrame(client.Frame{T: frameType, Raw: raw})
}

func (c *conn) handlePushed(room string, revs ...int64) {
	for _, rev := range revs {
		c.handleFrame(client.Frame{T: "message", Raw: fmt.Appendf(nil, `{"t":"message","conversation":%q,"seq":%d,"rev":%d,"body":"x"}`, room, rev, rev)})
	}
}

// handleAnswer answers the sync with that id.
func (c *conn) handleAnswer(t *testing.T, id string, revs ...int64) {
	t.Helper()
	f := wire.Changes{T: "changes", ID: id, Conversation: 7}
	for _, rev := range revs {
		f.Messages = append(f.Messages, wire.Message{Conversation: 7, Seq: rev, Rev: rev, ID: 1, Sender: 1, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: "x"})
		f.Rev = rev
	}
	c.receive(t, "changes", f)
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
	c, heard := one(t)
	c.handlePushed("7", 1, 3)
	c.handleAnswer(t, "2", 2, 3, 4)
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
	c, heard := one(t)
	c.handlePushed("7", 2, 1, 2)
	heard.requireSeqs(t, 1, 2, 2)
}

// A message that is pushed before the list, and is not in the state that the list
// tells of, is in a later answer as well, and is no duplicate; a second push is.
func TestPushedBeforeList(t *testing.T) {
	c, heard := unsynced()
	c.handlePushed("7", 3)
	c.receiveList(t, 2)
	heard.requireSeqs(t, 3)
	c.handlePushed("7", 5)
	c.handleAnswer(t, "2", 3, 4, 5)
	heard.requireSeqs(t, 3, 4, 5)
	c.handlePushed("7", 4) // was on its way
	heard.requireSeqs(t, 3, 4, 5)
	c.handlePushed("7", 3)
	heard.requireSeqs(t, 3, 4, 5, 3)
	if c.site.Repaired() != 2 {
		t.Errorf("%d repaired", c.site.Repaired())
	}
}

// Messages of a conversation that the user is not in are passed on, and never
// requested.
func TestForeignMessages(t *testing.T) {
	c, heard := one(t)
	c.handlePushed("8", 5, 5)
	heard.requireSeqs(t, 5, 5)
	if !c.sync.machine.Whole() || c.sync.machine.Has(8) {
		t.Error("the conversation is taken for one's own")
	}
}

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

type told []int64

func (l *told) Answered(int, target.Answer) {}

func (l *told) Received(_ int, seq int64, _ []byte) { *l = append(*l, seq) }

func (l *told) Ended(error) {}

// one is a person in one conversation, on a connection that has settled and
// leads nowhere: what is asked is never sent.
func one(t *testing.T) (c *conn, heard *told) {
	t.Helper()
	heard = &told{}
	s := &site{
		rooms: []chat.ConversationID{7}, index: map[chat.ConversationID]int{7: 0, 8: 1},
		views: make([]view, 1),
	}
	c = &conn{site: s, on: heard, view: &s.views[0], synced: make(chan struct{})}
	c.view.connected(1)
	c.hear(t, wire.Synced{T: "synced", ID: "1", Conversations: []wire.Summary{{Conversation: wire.Conversation{ID: 7, Kind: chat.Direct}, Role: chat.Member}}})
	if !c.settled {
		t.Fatal("something is missing of an empty conversation")
	}
	return c, heard
}

func (c *conn) hear(t *testing.T, frame any) {
	t.Helper()
	raw, err := json.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	var head struct{ T string }
	if err := json.Unmarshal(raw, &head); err != nil {
		t.Fatal(err)
	}
	c.heard(client.Frame{T: head.T, Raw: raw})
}

func (c *conn) pushed(room string, revs ...int64) {
	for _, rev := range revs {
		c.heard(client.Frame{T: "message", Raw: fmt.Appendf(nil, `{"t":"message","conversation":%q,"seq":%d,"rev":%d,"body":"x"}`, room, rev, rev)})
	}
}

// answer answers the sync of that number.
func (c *conn) answer(t *testing.T, id string, revs ...int64) {
	t.Helper()
	f := wire.Changes{T: "changes", ID: id, Conversation: 7}
	for _, rev := range revs {
		f.Messages = append(f.Messages, wire.Message{Conversation: 7, Seq: rev, Rev: rev, ID: 1, Sender: 1, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: "x"})
		f.Rev = rev
	}
	c.hear(t, f)
}

func (l *told) are(t *testing.T, seqs ...int64) {
	t.Helper()
	if !slices.Equal(*l, seqs) {
		t.Errorf("%v instead of %v", *l, seqs)
	}
}

// Of what came in an answer, one pushed copy is forgiven, whether it comes
// before or behind; the next is told.
func TestOneCopyIsForgiven(t *testing.T) {
	c, heard := one(t)
	c.pushed("7", 1, 3)
	c.answer(t, "2", 2, 3, 4)
	heard.are(t, 1, 2, 3, 4)
	c.pushed("7", 2, 4) // were on their way
	heard.are(t, 1, 2, 3, 4)
	c.pushed("7", 5)
	heard.are(t, 1, 2, 3, 4, 5)
	c.pushed("7", 2, 3, 4, 5, 1)
	heard.are(t, 1, 2, 3, 4, 5, 2, 3, 4, 5, 1)
	if c.site.Repaired() != 3 {
		t.Errorf("%d repaired", c.site.Repaired())
	}
}

// A copy that comes before its turn, and again in its turn, is told.
func TestCopyBeforeItsTurn(t *testing.T) {
	c, heard := one(t)
	c.pushed("7", 2, 1, 2)
	heard.are(t, 1, 2, 2)
}

// What is of a conversation that the person is not in is told as it comes, and
// never asked for.
func TestForeignMessages(t *testing.T) {
	c, heard := one(t)
	c.pushed("8", 5, 5)
	heard.are(t, 5, 5)
	if !c.view.state.Whole() || c.view.state.Has(8) {
		t.Error("the conversation is taken for one's own")
	}
}

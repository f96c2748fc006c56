package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

func longMessage(seq int64) chat.Message {
	id := chat.ClientID(uuid.Must(uuid.NewV7()))
	return chat.Message{ID: 1, Conversation: 1, Seq: seq, Rev: seq, Sender: 1, ClientID: id, Body: longest}
}

// feedStore has conversations whose texts are as long in JSON as can be. Its
// positions are the number of entries before them.
type feedStore struct {
	stubStore
	changed  []store.ChangedConversation
	messages int // of each conversation
}

// Messages from before control characters were refused.
var longest = strings.Repeat("\x01", chat.MaxBody)

func (f *feedStore) Failures(context.Context, chat.UserID, store.Position) ([]chat.Failure, error) {
	return nil, nil
}

func (f *feedStore) Changed(_ context.Context, _ chat.UserID, after store.Position, limit int) ([]store.ChangedConversation, store.Position, bool, error) {
	from, _ := strconv.Atoi(string(after))
	to := min(from+limit, len(f.changed))
	page := slices.Clone(f.changed[from:to])
	for i := range page {
		page[i].Next = store.Position(strconv.Itoa(from + i + 1))
	}
	return page, store.Position(strconv.Itoa(to)), to < len(f.changed), nil
}

func (f *feedStore) Changes(_ context.Context, _ chat.ConversationID, _ chat.UserID, rev int64, limit int) (page []chat.Message, head int64, _ error) {
	for ; rev < int64(f.messages) && len(page) < limit; rev++ {
		page = append(page, longMessage(rev+1))
	}
	return page, int64(f.messages), nil
}

func (f *feedStore) Users(_ context.Context, ids []chat.UserID) (users []chat.User, _ error) {
	for _, id := range ids {
		users = append(users, chat.User{ID: id, DisplayName: strings.Repeat("\u2028", chat.MaxDisplayName)})
	}
	return users, nil
}

// newFeedSession returns a session with a store of conversations, every third of
// which is gone, and the connection of its client.
func newFeedSession(t *testing.T, conversations, messages int) (*session, *feedClient) {
	t.Helper()
	f := &feedStore{messages: messages}
	for i := range conversations {
		c := store.ChangedConversation{Gone: i%3 == 1}
		c.ID = chat.ConversationID(i + 1)
		if !c.Gone {
			c.Title, c.Topic = strings.Repeat("<", chat.MaxTitle), strings.Repeat("<", chat.MaxTopic)
			c.Peer = chat.UserID(i + 1)
			last := longMessage(1)
			c.Last = &last
		}
		f.changed = append(f.changed, c)
	}
	g := newTestGateway(t, &f.stubStore, nil)
	g.deps.Store, g.deps.Cursors = f, cursor.NewSealer(make([]byte, 32))
	s, conn := connectTestSession(t, g, 1)
	return s, &feedClient{t: t, conn: conn}
}

type feedClient struct {
	t    *testing.T
	conn net.Conn
}

// next returns the next frame.
func (c *feedClient) next() []byte {
	c.t.Helper()
	h, err := ws.ReadHeader(c.conn)
	if err != nil || h.OpCode != ws.OpText {
		c.t.Fatalf("no frame: %v, opcode %d", err, h.OpCode)
	}
	p := make([]byte, h.Length)
	if _, err := io.ReadFull(c.conn, p); err != nil {
		c.t.Fatalf("a part of a frame: %v", err)
	}
	return p
}

// read decodes the next frame, which must be of a type, and returns its size.
func (c *feedClient) read(t string, into any) int {
	c.t.Helper()
	p := c.next()
	if !strings.HasPrefix(string(p), `{"t":"`+t+`"`) {
		c.t.Fatalf("%.100s where a %s frame was due", p, t)
	}
	if err := json.Unmarshal(p, into); err != nil {
		c.t.Fatal(err)
	}
	return len(p)
}

// Pages of conversations are bounded as they are sent, and nothing is left out or
// comes twice.
func TestSyncPagesAreBounded(t *testing.T) {
	const conversations, limit = 500, 200
	s, c := newFeedSession(t, conversations, 0)
	var got []chat.ConversationID
	cursor, cut := "", false
	for more := true; more; {
		s.sync(pacedSync{&wire.Sync{ID: "s", Cursor: cursor, Limit: limit}, 0})
		var page wire.Synced
		if n := c.read("synced", &page); n > maxSyncBytes+1024 {
			t.Errorf("a page of %d bytes", n)
		}
		for _, summary := range page.Conversations {
			if !summary.Last.Clipped || len(summary.Last.Body) != wire.MaxPreview || summary.Peer == nil {
				t.Fatalf("%+v", summary)
			}
			got = append(got, summary.ID)
		}
		got = append(got, page.Gone...)
		n := len(page.Conversations) + len(page.Gone)
		cut = cut || n < limit && page.More
		if n == 0 {
			t.Fatal("a page has no entry")
		}
		cursor, more = page.Cursor, page.More
	}
	slices.Sort(got)
	for i, id := range got {
		if id != chat.ConversationID(i+1) {
			t.Fatalf("%d where conversation %d was due", id, i+1)
		}
	}
	if len(got) != conversations || !cut {
		t.Errorf("%d of %d conversations; a page was cut: %v", len(got), conversations, cut)
	}
}

// A page has one entry at least, however small the queue is, and it arrives.
func TestSyncWithASmallQueue(t *testing.T) {
	s, c := newFeedSession(t, 7, 3)
	s.g.cfg.MaxQueued = 1 << 10
	cursor, pages := "", 0
	for more := true; more; pages++ {
		s.sync(pacedSync{&wire.Sync{ID: "s", Cursor: cursor}, 0})
		var page wire.Synced
		c.read("synced", &page)
		cursor, more = page.Cursor, page.More
	}
	if pages != 7 {
		t.Errorf("7 conversations are %d pages", pages)
	}
	for rev := range int64(3) {
		s.sync(pacedSync{&wire.Sync{ID: "s", Conversation: 1, Rev: rev}, 0})
		var page wire.Changes
		c.read("changes", &page)
		if len(page.Messages) != 1 || page.Messages[0].Body != longest || page.Rev != rev+1 || page.More != (rev < 2) {
			t.Errorf("after rev %d: %d messages up to %d, more %v", rev, len(page.Messages), page.Rev, page.More)
		}
	}
}

// A client who asks for much at once and reads none of it yet is not cut off, and
// its other frames do not wait.
func TestManySyncsAtOnce(t *testing.T) {
	const messages, tooMany = 5, 20 // some may be answered meanwhile
	s, c := newFeedSession(t, 1, messages)
	for i := range maxSyncs + tooMany {
		s.sync(pacedSync{&wire.Sync{ID: fmt.Sprint(i), Conversation: 1}, 0})
	}
	// The network takes no more.
	eventually.True(t, "a full queue", func() bool { return s.conn.Queued() > s.g.cfg.MaxQueued/2 })
	if n := s.conn.Queued(); n > s.g.cfg.MaxQueued*3/4+8<<10 {
		t.Errorf("%d bytes wait for the client", n)
	}
	s.sendError("", chat.CodeInvalid, "still there")
	answers, refusals, last := 0, 0, -1
	for answers+refusals < maxSyncs+tooMany+1 {
		p := string(c.next())
		if strings.HasPrefix(p, `{"t":"error"`) {
			refusals++
			continue
		}
		var page wire.Changes
		if err := json.Unmarshal([]byte(p), &page); err != nil {
			t.Fatal(err)
		}
		// Two messages of 98 kB fit.
		n, err := strconv.Atoi(page.ID)
		if err != nil || n <= last || page.Rev != 2 || !page.More || len(p) > maxSyncBytes+1024 {
			t.Fatalf("after answer %d: %d bytes: %.60s", last, len(p), p)
		}
		answers, last = answers+1, n
	}
	if answers < maxSyncs || refusals < 2 {
		t.Errorf("%d answers and %d refusals, want those of the syncs too many and the other", answers, refusals)
	}
}

// What waits for a client ends with its connection.
func TestSyncsEndWithTheConnection(t *testing.T) {
	s, c := newFeedSession(t, 1, 5)
	for i := range 50 {
		s.sync(pacedSync{&wire.Sync{ID: fmt.Sprint(i), Conversation: 1}, 0})
	}
	eventually.True(t, "a full queue", func() bool { return s.conn.Queued() > s.g.cfg.MaxQueued/2 })
	_ = c.conn.Close()
	eventually.True(t, "no sync waits", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.syncs == nil
	})
}

// A device that has much to ask is slowed down, not refused.
func TestSyncsArePaced(t *testing.T) {
	s, c := newFeedSession(t, 1, 1)
	s.budget = budget(s.g.costs.now() + syncShare) // as after a burst
	s.busy = false
	began := time.Now()
	for i := range 10 {
		s.Message(s.conn, wire.Encode(wire.Sync{T: "sync", ID: fmt.Sprint(i), Conversation: 1, Rev: 1}))
	}
	var page wire.Changes
	for i := range 10 {
		if c.read("changes", &page); page.ID != fmt.Sprint(i) {
			t.Fatalf("%q is answered, not %d", page.ID, i)
		}
	}
	if took := time.Since(began); took < 9*syncCost {
		t.Errorf("ten answers took %v", took)
	}
}

package hikyaku

import (
	"bytes"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// syncState is a device's state of its conversations. It outlives connections,
// of which a user has one at a time; only the goroutine that reads the
// connection uses it.
//
// It follows the rules of every hikyaku.v1 device: the changes of a
// conversation carry rev 1, 2, 3 …; a change that is not the next one means
// that some were missed, and sync requests them.
type syncState struct {
	cursor string
	rooms  map[int]*roomState // the rooms that the user is in
	listed bool               // the list was complete once
	sum    int64              // of rev and read, as the head check has it
}

type roomState struct {
	rev, read int64
	latest    int64 // the highest known rev
	gap       *gap  // nil if nothing was ever missing
}

// gap is the state of changes that did not arrive in order.
type gap struct {
	sentAt time.Time // when the sync was sent that is under way; zero for none
	id     string    // of the last sync
	upTo   int64     // the highest known rev when it was sent

	// A message may arrive twice, pushed and in the answer to a sync. Once,
	// that is no duplicate; so these record which messages arrived how.

	pushedEarly  revs    // pushed before their turn; the answer will contain them
	pushedAgain  []int64 // revs that were pushed early again, once for each time
	awaitingPush revs    // in an answer, and not pushed yet
}

// maxPushedAgain bounds gap.pushedAgain. A run with so many has failed anyway.
const maxPushedAgain = 1000

func (s *roomState) ensureGap() *gap {
	if s.gap == nil {
		s.gap = &gap{}
	}
	return s.gap
}

func (s *roomState) syncing() bool { return s.gap != nil && !s.gap.sentAt.IsZero() }

func (v *syncState) advance(s *roomState, rev, read int64) {
	if rev > s.rev {
		v.sum += rev - s.rev
		s.rev = rev
	}
	if read > s.read {
		v.sum += read - s.read
		s.read = read
	}
	s.latest = max(s.latest, s.rev)
}

// handleMessage takes a pushed message if it is the next change. A repeated one
// is passed on, so that the load tool finds it, and so is one of a conversation
// that the user is not in.
func (c *conn) handleMessage(raw []byte) {
	room, ok := c.site.index[string(stringField(raw, `"conversation":"`))]
	if !ok {
		return
	}
	seq, err := strconv.ParseInt(string(numberField(raw, `"seq":`)), 10, 64)
	if err != nil {
		return
	}
	rev, err := strconv.ParseInt(string(numberField(raw, `"rev":`)), 10, 64)
	if err != nil {
		return
	}
	body := stringField(raw, `"body":"`)
	s := c.sync.rooms[room]
	switch {
	case s == nil:
	case rev == s.rev+1:
		c.sync.advance(s, rev, 0)
		if c.wasPushedEarly(room, s, rev, seq, body) {
			c.on.Received(room, seq, body) // for the one before its turn
		}
	case rev > s.rev:
		s.latest = max(s.latest, rev)
		if g := s.ensureGap(); !g.pushedEarly.has(rev) {
			g.pushedEarly.add(rev)
		} else if len(g.pushedAgain) < maxPushedAgain {
			g.pushedAgain = append(g.pushedAgain, rev)
		}
		c.catchUp(room, s)
		return
	case s.gap != nil && s.gap.awaitingPush.remove(rev):
		return
	}
	c.on.Received(room, seq, body)
}

// handleConversation handles a change of a conversation itself.
func (c *conn) handleConversation(f client.Frame) {
	var v wire.ConversationFrame
	if f.Into(&v) != nil {
		return
	}
	room, ok := c.site.index[v.Conversation.ID.String()]
	if !ok {
		return
	}
	s := c.sync.rooms[room]
	if s == nil {
		return
	}
	if v.Conversation.Rev == s.rev+1 {
		c.sync.advance(s, v.Conversation.Rev, 0)
		return
	}
	s.latest = max(s.latest, v.Conversation.Rev)
	c.catchUp(room, s)
}

func (c *conn) handleMark(f client.Frame) {
	var v wire.MarkFrame
	if f.Into(&v) != nil || v.User != c.me {
		return
	}
	if room, ok := c.site.index[v.Conversation.String()]; ok {
		if s := c.sync.rooms[room]; s != nil {
			c.sync.advance(s, 0, v.Read)
		}
	}
}

// handlePong is the head check: a device that is behind at two of them, and has
// received nothing new in between, has missed something.
func (c *conn) handlePong(raw []byte) {
	c.resendUnanswered(time.Now())
	if !bytes.Contains(raw, []byte(`"checked":true`)) {
		return
	}
	sum, err := strconv.ParseInt(string(numberField(raw, `"sum":`)), 10, 64)
	if err != nil {
		return
	}
	switch {
	case sum <= c.sync.sum:
		c.behind = -1
	case c.behind == c.sync.sum:
		c.behind = -1
		c.syncList()
	default:
		c.behind = c.sync.sum
	}
}

// reset drops what was under way on the previous connection. A message that was
// pushed there before its turn, and left to a sync, may be pushed again.
func (v *syncState) reset() {
	for _, s := range v.rooms {
		if s.gap != nil {
			s.gap.sentAt, s.gap.pushedEarly, s.gap.pushedAgain = time.Time{}, nil, nil
		}
	}
}

package hikyaku

import (
	"bytes"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// syncState is what a person's device has seen of their conversations. It outlives
// connections, of which a person has one at a time; only the goroutine that
// reads from it uses the view.
//
// It goes by the rules of every device of hikyaku.v1: the changes of a
// conversation carry rev 1, 2, 3 …; one that is not the next means that some
// were missed, and sync asks for them.
type syncState struct {
	cursor string
	rooms  map[int]*roomState // those that the person is in, from the start
	listed bool               // the list was complete once
	sum    int64              // of rev and read, as the head check has it
}

type roomState struct {
	rev, read int64
	latest    int64 // the highest rev heard of
	gap       *gap  // nil while nothing was ever missing
}

// gap is what becomes of changes that did not come as the next one.
type gap struct {
	sentAt time.Time // when the sync was sent that is under way; zero for none
	id     string    // of the last sync
	upTo   int64     // the highest rev heard of when it was sent

	// A message may come both ways, pushed and in the answer to a sync. Which
	// is no duplicate, once; so it is kept which of them came how.

	pushedEarly  revs    // pushed before their turn, and left to the answer
	pushedAgain  []int64 // pushed like that once more, by rev, as often as they were
	awaitingPush revs    // in an answer, and not pushed yet
}

// maxPushedAgain bounds gap.twice. A run that has as many is a failure anyway.
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

// handleMessage takes a message that was pushed, if it is the next change. One that
// comes again is passed on, for the tool to find, and so is one of a
// conversation that the person is not in.
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

// handleConversation takes a change of a conversation itself.
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

// handlePong is the head check: a device that is behind at two of them, and has seen
// nothing new in between, has missed something.
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

// reset forgets what was under way on the connection before. What was pushed
// there and left to an answer may be pushed here again.
func (v *syncState) reset() {
	for _, s := range v.rooms {
		if s.gap != nil {
			s.gap.sentAt, s.gap.pushedEarly, s.gap.pushedAgain = time.Time{}, nil, nil
		}
	}
}

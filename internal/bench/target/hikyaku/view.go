package hikyaku

import (
	"bytes"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// view is what a person's device has seen of their conversations. It outlives
// connections, of which a person has one at a time; only the goroutine that
// reads from it uses the view.
//
// It goes by the rules of every device of hikyaku.v1: the changes of a
// conversation carry rev 1, 2, 3 …; one that is not the next means that some
// were missed, and sync asks for them.
type view struct {
	cursor string
	rooms  map[int]*seen // those that the person is in, from the start
	known  bool          // the list was complete once
	sum    int64         // of rev and read, as the head check has it
}

type seen struct {
	rev, read int64
	most      int64 // the highest rev heard of
	gap       *gap  // nil while nothing was ever missing
}

// gap is what becomes of changes that did not come as the next one.
type gap struct {
	asked time.Time // when the sync was sent that is under way; zero for none
	id    string    // of the last sync
	upTo  int64     // the highest rev heard of when it was sent

	// A message may come both ways, pushed and in the answer to a sync. Which
	// is no duplicate, once; so it is kept which of them came how.

	early revs    // pushed before their turn, and left to the answer
	twice []int64 // pushed like that once more, by rev, as often as they were
	owed  revs    // in an answer, and not pushed yet
}

// mostTwice bounds gap.twice. A run that has as many is a failure anyway.
const mostTwice = 1000

func (s *seen) missing() *gap {
	if s.gap == nil {
		s.gap = &gap{}
	}
	return s.gap
}

func (s *seen) asks() bool { return s.gap != nil && !s.gap.asked.IsZero() }

func (v *view) moved(s *seen, rev, read int64) {
	if rev > s.rev {
		v.sum += rev - s.rev
		s.rev = rev
	}
	if read > s.read {
		v.sum += read - s.read
		s.read = read
	}
	s.most = max(s.most, s.rev)
}

// message takes a message that was pushed, if it is the next change. One that
// comes again is passed on, for the tool to find, and so is one of a
// conversation that the person is not in.
func (c *conn) message(raw []byte) {
	room, ok := c.site.index[string(value(raw, `"conversation":"`))]
	if !ok {
		return
	}
	seq, err := strconv.ParseInt(string(number(raw, `"seq":`)), 10, 64)
	if err != nil {
		return
	}
	rev, err := strconv.ParseInt(string(number(raw, `"rev":`)), 10, 64)
	if err != nil {
		return
	}
	body := value(raw, `"body":"`)
	s := c.view.rooms[room]
	switch {
	case s == nil:
	case rev == s.rev+1:
		c.view.moved(s, rev, 0)
		if c.repeated(room, s, rev, seq, body) {
			c.on.Received(room, seq, body) // for the one before its turn
		}
	case rev > s.rev:
		s.most = max(s.most, rev)
		if g := s.missing(); !g.early.has(rev) {
			g.early.add(rev)
		} else if len(g.twice) < mostTwice {
			g.twice = append(g.twice, rev)
		}
		c.catchUp(room, s)
		return
	case s.gap != nil && s.gap.owed.remove(rev):
		return
	}
	c.on.Received(room, seq, body)
}

// changed takes a change of a conversation itself.
func (c *conn) changed(f client.Frame) {
	var v wire.ConversationFrame
	if f.Into(&v) != nil {
		return
	}
	room, ok := c.site.index[v.Conversation.ID.String()]
	if !ok {
		return
	}
	s := c.view.rooms[room]
	if s == nil {
		return
	}
	if v.Conversation.Rev == s.rev+1 {
		c.view.moved(s, v.Conversation.Rev, 0)
		return
	}
	s.most = max(s.most, v.Conversation.Rev)
	c.catchUp(room, s)
}

func (c *conn) marked(f client.Frame) {
	var v wire.MarkFrame
	if f.Into(&v) != nil || v.User != c.me {
		return
	}
	if room, ok := c.site.index[v.Conversation.String()]; ok {
		if s := c.view.rooms[room]; s != nil {
			c.view.moved(s, 0, v.Read)
		}
	}
}

// pong is the head check: a device that is behind at two of them, and has seen
// nothing new in between, has missed something.
func (c *conn) pong(raw []byte) {
	c.askAgain(time.Now())
	if !bytes.Contains(raw, []byte(`"checked":true`)) {
		return
	}
	sum, err := strconv.ParseInt(string(number(raw, `"sum":`)), 10, 64)
	if err != nil {
		return
	}
	switch {
	case sum <= c.view.sum:
		c.behind = -1
	case c.behind == c.view.sum:
		c.behind = -1
		c.list()
	default:
		c.behind = c.view.sum
	}
}

// lost forgets what was under way on the connection before. What was pushed
// there and left to an answer may be pushed here again.
func (v *view) lost() {
	for _, s := range v.rooms {
		if s.gap != nil {
			s.gap.asked, s.gap.early, s.gap.twice = time.Time{}, nil, nil
		}
	}
}

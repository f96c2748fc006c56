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
	rooms  map[int]*seen
	known  bool  // the list was complete once
	sum    int64 // of rev and read, as the head check has it
}

type seen struct {
	rev, read int64
	most      int64 // the highest rev heard of
	seq       int64 // of the last message
	asked     bool  // a sync is under way
	asking    int64 // the highest rev heard of when it was sent
}

func (v *view) room(room int) *seen {
	s := v.rooms[room]
	if s == nil {
		s = &seen{}
		v.rooms[room] = s
	}
	return s
}

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
// comes again is passed on, for the tool to find, unless the device asked for
// what it missed: then both ways may bring it.
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
	s := c.view.room(room)
	switch {
	case rev == s.rev+1:
		c.view.moved(s, rev, 0)
		s.seq = seq
	case rev <= s.rev && c.asked:
		return
	case rev > s.rev:
		s.most = max(s.most, rev)
		c.catchUp(room, s)
		return
	}
	c.on.Received(room, seq, value(raw, `"body":"`))
}

// say sends a frame from where nobody may wait: whoever reads this socket reads
// others, too. A loss is noticed there.
func (c *conn) say(frame wire.Sync) {
	go func() {
		select {
		case <-c.ready:
			_ = c.socket.Send(frame)
		case <-time.After(sayPatience):
		}
	}()
}

// sayPatience is how long a socket may take to be made.
const sayPatience = time.Minute

// list asks which conversations changed.
func (c *conn) list() {
	if c.listing {
		c.again = true
		return
	}
	c.listing = true
	c.say(wire.Sync{T: "sync", ID: "list", Cursor: c.view.cursor})
}

// listed takes the answer. What a person's first connection finds is where
// they begin.
func (c *conn) listed(f client.Frame) {
	var v wire.Synced
	if err := f.Into(&v); err != nil {
		return
	}
	c.listing = false
	c.view.cursor = v.Cursor
	for i := range v.Conversations {
		summary := &v.Conversations[i]
		room, ok := c.site.index[summary.ID.String()]
		if !ok {
			continue
		}
		s := c.view.room(room)
		if !c.view.known {
			c.view.moved(s, summary.Rev, 0)
		}
		c.view.moved(s, 0, summary.Read)
		s.most = max(s.most, summary.Rev)
		c.catchUp(room, s)
	}
	if v.More || c.again {
		c.again = false
		c.list()
		return
	}
	c.view.known = true
	c.settle()
}

// catchUp asks for the changes of a conversation that are missing, unless it
// has.
func (c *conn) catchUp(room int, s *seen) {
	if s.rev >= s.most || s.asked {
		return
	}
	s.asked, s.asking, c.asked = true, s.most, true
	c.waiting++
	id := c.site.rooms[room]
	c.say(wire.Sync{T: "sync", ID: id.String(), Conversation: id, Rev: s.rev})
}

func (c *conn) caughtUp(f client.Frame) {
	var v wire.Changes
	if err := f.Into(&v); err != nil {
		return
	}
	room, ok := c.site.index[v.Conversation.String()]
	if !ok {
		return
	}
	s := c.view.room(room)
	had := s.rev
	for i := range v.Messages {
		if m := &v.Messages[i]; m.Rev > had {
			s.seq = max(s.seq, m.Seq)
			c.on.Received(room, m.Seq, []byte(m.Body))
		}
	}
	c.view.moved(s, v.Rev, 0)
	if !v.More { // then the changes up to there that are not in it are none of messages
		c.view.moved(s, s.asking, 0)
	}
	s.asked = false
	c.waiting--
	c.catchUp(room, s)
	c.settle()
}

// settle says that nothing is missing, when it is so for the first time.
func (c *conn) settle() {
	if c.view.known && !c.listing && c.waiting == 0 && !c.settled {
		c.settled = true
		close(c.synced)
	}
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
	s := c.view.room(room)
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
		c.view.moved(c.view.room(room), 0, v.Read)
	}
}

// pong is the head check: a device that is behind at two of them, and has seen
// nothing new in between, has missed something.
func (c *conn) pong(raw []byte) {
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

// lost forgets what was under way on the connection before.
func (v *view) lost() {
	for _, s := range v.rooms {
		s.asked = false
	}
}

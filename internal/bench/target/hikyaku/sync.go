package hikyaku

import (
	"slices"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// sayPatience is how long a socket may take to be made.
	sayPatience = time.Minute
	// unanswered is how long a sync may be without an answer, before it is sent
	// again. It is noticed at a heartbeat.
	unanswered = 5 * time.Second
	// refusedPause is how long a sync waits that the server refused.
	refusedPause = time.Second
)

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

// sayLater sends frames that the server refused again.
func (c *conn) sayLater(frames ...wire.Sync) {
	time.AfterFunc(refusedPause, func() {
		for i := range frames {
			c.say(frames[i])
		}
	})
}

// name makes the id of a sync: what is asked for, and a number, so that a late
// answer is known as one.
func (c *conn) name(what string) string {
	c.asks++
	return what + "." + strconv.Itoa(c.asks)
}

// newList is the next question which conversations changed.
func (c *conn) newList() wire.Sync {
	c.listAsked, c.listID = time.Now(), c.name("list")
	return c.listSync()
}

func (c *conn) listSync() wire.Sync { return wire.Sync{T: "sync", ID: c.listID, Cursor: c.view.cursor} }

// list asks which conversations changed.
func (c *conn) list() {
	if !c.listAsked.IsZero() {
		c.again = true
		return
	}
	c.say(c.newList())
}

// listed takes the answer. What a person's first connection finds is where
// they begin.
//
// The cursor moves before what changed has come: a conversation whose changes
// did not come, on a connection that was lost, is in no list any more. So all
// that are behind are asked for, not only those in the list.
func (c *conn) listed(f client.Frame) {
	var v wire.Synced
	if err := f.Into(&v); err != nil || v.ID != c.listID || c.listAsked.IsZero() {
		return
	}
	c.listAsked = time.Time{}
	c.view.cursor = v.Cursor
	for i := range v.Conversations {
		summary := &v.Conversations[i]
		room, ok := c.site.index[summary.ID.String()]
		if !ok {
			continue
		}
		s := c.view.rooms[room]
		if s == nil {
			continue
		}
		if !c.view.known {
			c.view.moved(s, summary.Rev, 0)
		}
		c.view.moved(s, 0, summary.Read)
		s.most = max(s.most, summary.Rev)
	}
	for room, s := range c.view.rooms {
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
	if s.rev >= s.most || s.asks() {
		return
	}
	g := s.missing()
	g.asked, g.id, g.upTo = time.Now(), c.name(c.site.rooms[room].String()), s.most
	c.say(c.changesSync(room, s))
}

func (c *conn) changesSync(room int, s *seen) wire.Sync {
	return wire.Sync{T: "sync", ID: s.gap.id, Conversation: c.site.rooms[room], Rev: s.rev}
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
	s := c.view.rooms[room]
	if s == nil || s.gap == nil {
		return // nobody asked
	}
	g, had := s.gap, s.rev
	for i := range v.Messages {
		m := &v.Messages[i]
		if m.Rev <= had {
			continue
		}
		if c.settled { // else this is what was missed while the person was away
			c.site.repaired.Add(1)
		}
		body := []byte(m.Body)
		c.on.Received(room, m.Seq, body)
		if !c.repeated(room, s, m.Rev, m.Seq, body) {
			g.owed.add(m.Rev)
		}
	}
	c.view.moved(s, v.Rev, 0)
	if s.asks() && g.id == v.ID {
		g.asked = time.Time{}
		if !v.More { // then the changes up to there that are not in it are none of messages
			c.view.moved(s, g.upTo, 0)
		}
	}
	c.catchUp(room, s)
	c.settle()
}

// repeated tells whether a message that is passed on now was pushed before its
// turn, and passes it on as often as it was pushed like that again.
func (c *conn) repeated(room int, s *seen, rev, seq int64, body []byte) bool {
	g := s.gap
	if g == nil || !g.early.remove(rev) {
		return false
	}
	g.twice = slices.DeleteFunc(g.twice, func(r int64) bool {
		if r == rev {
			c.on.Received(room, seq, body)
		}
		return r == rev
	})
	return true
}

// settle says that nothing is missing, when it is so for the first time.
func (c *conn) settle() {
	if c.settled || !c.view.known || !c.listAsked.IsZero() {
		return
	}
	for _, s := range c.view.rooms {
		if s.rev < s.most {
			return
		}
	}
	c.settled = true
	close(c.synced)
}

// refused hears that the server did not do what it was asked. When it was asked
// too much at once it does not say which of all that was: then everything that
// has no answer yet is asked again, and an answer too many does no harm.
func (c *conn) refused(f client.Frame) {
	var v wire.ErrorFrame
	if f.Into(&v) != nil {
		return
	}
	now := time.Now()
	if v.ID != "" {
		c.sayLater(c.open(func(id string, _ time.Time) bool { return id == v.ID }, now)...)
	} else if now.Sub(c.refusedAt) > refusedPause { // once for a burst
		c.refusedAt = now
		c.sayLater(c.open(func(string, time.Time) bool { return true }, now)...)
	}
}

// askAgain repeats what had no answer for too long. Whichever answer comes
// first is taken.
func (c *conn) askAgain(now time.Time) {
	for _, frame := range c.open(func(_ string, asked time.Time) bool { return now.Sub(asked) > unanswered }, now) {
		c.say(frame)
	}
}

// open gives those syncs without an answer that are wanted, as asked now.
func (c *conn) open(wanted func(id string, asked time.Time) bool, now time.Time) (frames []wire.Sync) {
	if !c.listAsked.IsZero() && wanted(c.listID, c.listAsked) {
		c.listAsked = now
		frames = append(frames, c.listSync())
	}
	for room, s := range c.view.rooms {
		if s.asks() && wanted(s.gap.id, s.gap.asked) {
			s.gap.asked = now
			frames = append(frames, c.changesSync(room, s))
		}
	}
	return frames
}

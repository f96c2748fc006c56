package hikyaku

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// view is what a person's device has seen of their conversations. It outlives
// connections, of which a person has one at a time; only the goroutine that
// reads from it uses the view.
type view struct {
	state  syncstate.Machine
	copies map[chat.ConversationID]*copies // of conversations of which something was missing once
}

// copies are of one conversation's messages. One may come both ways, pushed and
// in the answer to a sync. Which is no duplicate, once; so it is kept which of
// them came how.
type copies struct {
	early revs    // pushed before their turn, and left to the answer
	twice []int64 // pushed like that once more, by rev, as often as they were
	owed  revs    // in an answer, and not pushed yet
}

// mostTwice bounds copies.twice. A run that has as many is a failure anyway.
const mostTwice = 1000

func (v *view) copiesOf(id chat.ConversationID) *copies {
	c := v.copies[id]
	if c == nil {
		if v.copies == nil {
			v.copies = map[chat.ConversationID]*copies{}
		}
		c = &copies{}
		v.copies[id] = c
	}
	return c
}

// connected begins a connection. What was pushed on the one before and left to
// an answer may be pushed here again.
func (v *view) connected(me chat.UserID) []wire.Sync {
	for _, c := range v.copies {
		c.early, c.twice = nil, nil
	}
	return v.state.Connected(time.Now(), me)
}

// message takes a message that was pushed, if it is the next change. One that
// comes again is passed on, for the tool to find, and so is one of a
// conversation that the person is not in, for which nobody asks.
func (c *conn) message(raw []byte) {
	n, err := strconv.ParseInt(string(value(raw, `"conversation":"`)), 10, 64)
	if err != nil {
		return
	}
	id := chat.ConversationID(n)
	seq, err := strconv.ParseInt(string(number(raw, `"seq":`)), 10, 64)
	if err != nil {
		return
	}
	rev, err := strconv.ParseInt(string(number(raw, `"rev":`)), 10, 64)
	if err != nil {
		return
	}
	body := value(raw, `"body":"`)
	if c.view.state.PushNext(id, rev) {
		if c.repeated(id, rev, seq, body) {
			c.received(id, seq, body) // for the one before its turn
		}
		c.received(id, seq, body)
		return
	}
	if !c.view.state.Has(id) {
		c.received(id, seq, body)
		return
	}
	place, send := c.view.state.Push(time.Now(), id, rev)
	c.say(send)
	switch place {
	case syncstate.Ahead:
		if k := c.view.copiesOf(id); !k.early.has(rev) {
			k.early.add(rev)
		} else if len(k.twice) < mostTwice {
			k.twice = append(k.twice, rev)
		}
	case syncstate.Seen:
		if k := c.view.copies[id]; k == nil || !k.owed.remove(rev) {
			c.received(id, seq, body)
		}
	}
}

func (c *conn) received(id chat.ConversationID, seq int64, body []byte) {
	if room, ok := c.site.index[id]; ok {
		c.on.Received(room, seq, body)
	}
}

// answered takes the messages of an answer.
func (c *conn) answered(messages []wire.Message) {
	for i := range messages {
		m := &messages[i]
		if c.settled { // else this is what was missed while the person was away
			c.site.repaired.Add(1)
		}
		body := []byte(m.Body)
		c.received(m.Conversation, m.Seq, body)
		if !c.repeated(m.Conversation, m.Rev, m.Seq, body) {
			c.view.copiesOf(m.Conversation).owed.add(m.Rev)
		}
	}
}

// repeated reports whether a message that is passed on now was pushed before its
// turn, and passes it on as often as it was pushed like that again.
func (c *conn) repeated(id chat.ConversationID, rev, seq int64, body []byte) bool {
	k := c.view.copies[id]
	if k == nil || !k.early.remove(rev) {
		return false
	}
	k.twice = slices.DeleteFunc(k.twice, func(r int64) bool {
		if r == rev {
			c.received(id, seq, body)
		}
		return r == rev
	})
	return true
}

// pong takes a heartbeat's answer, without decoding all of it.
func (c *conn) pong(raw []byte) {
	now := time.Now()
	c.say(c.view.state.Tick(now))
	if !bytes.Contains(raw, []byte(`"checked":true`)) {
		return
	}
	sum, err := strconv.ParseInt(string(number(raw, `"sum":`)), 10, 64)
	if err != nil {
		return
	}
	conversations, err := strconv.Atoi(string(number(raw, `"conversations":`)))
	if err != nil {
		return
	}
	c.view.state.HeadCheck(now, conversations, sum)
}

// synchronize takes another frame that tells of conversations, or answers a
// sync.
func (c *conn) synchronize(f client.Frame) {
	out := c.view.state.Handle(time.Now(), f.T, f.Raw)
	if out.After > 0 {
		c.sayLater(out.Send, out.After)
	} else {
		c.say(out.Send)
	}
	if f.T == "changes" {
		c.answered(out.Messages)
	}
	c.settle()
}

// settle says that nothing is missing, when it is so for the first time.
func (c *conn) settle() {
	if !c.settled && c.view.state.Whole() {
		c.settled = true
		close(c.synced)
	}
}

// sayPatience is how long a socket may take to be made.
const sayPatience = time.Minute

// say sends frames from where nobody may wait: whoever reads this socket reads
// others, too. A loss is noticed there.
func (c *conn) say(frames []wire.Sync) {
	if len(frames) == 0 {
		return
	}
	go func() {
		select {
		case <-c.ready:
			for i := range frames {
				_ = c.socket.Send(frames[i])
			}
		case <-time.After(sayPatience):
		}
	}()
}

// sayLater sends frames that the server refused again.
func (c *conn) sayLater(frames []wire.Sync, after time.Duration) {
	if len(frames) > 0 {
		time.AfterFunc(after, func() { c.say(frames) })
	}
}

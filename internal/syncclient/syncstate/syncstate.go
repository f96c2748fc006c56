// Package syncstate decides what a device of hikyaku.v1 has seen, what it must
// ask for, and when a head check says that it is behind (G4). It is a state
// machine and nothing else: frames and times go in, frames to send and messages
// to show come out. It has no socket, no goroutine and no clock, and costs
// little, since the load tool has many thousands of them.
//
// The changes of a conversation carry rev 1, 2, 3 …; the machine hands out each
// once, in that order. A pushed change that is not the next one is not taken
// but asked for, and so is what a head check finds missing.
package syncstate

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// unanswered is how long a sync may be without an answer before it is sent
	// again.
	unanswered = 5 * time.Second
	// refusedPause is how long a sync waits that the server refused.
	refusedPause = time.Second
	// headCheckDelay is how long pushes may be in flight when heads are
	// compared.
	headCheckDelay = time.Second
)

// Options are how a device behaves.
type Options struct {
	// FromStart has the device read all conversations from their beginning;
	// else it begins with what happens after its first list of them.
	FromStart bool
	// TolerateDelay syncs after a head check only if nothing at all was
	// received since: for load tests, which must not add to the work of a
	// server that is late.
	TolerateDelay bool
}

// Place is where a pushed change stands among those that were seen.
type Place int

const (
	// Next is the change after the last one that was seen. It is seen now.
	Next Place = iota
	// Ahead has changes missing before it. It comes again in an answer.
	Ahead
	// Seen was seen before.
	Seen
	// Unknown is of a conversation that the device knows nothing of.
	Unknown
)

// Output is what a frame leads to.
type Output struct {
	// Send are frames for the server.
	Send []wire.Sync
	// After is how long Send waits before it is sent, on this connection.
	After time.Duration
	// Messages are new or changed, and seen for the first time, in the order
	// of their rev.
	Messages []wire.Message
}

// Machine is the state of one device. It outlives connections, of which the
// device has one at a time. It is not safe for concurrent use.
type Machine struct {
	options       Options
	complete      bool // the list of conversations was complete once
	listAgain     bool // another list is due after the one that is under way
	requests      uint32
	me            chat.UserID
	cursor        string
	conversations []conversation // in the order of their ids
	sum           int64          // of their rev and read, as the head check has it
	list          *request       // the list that is under way, if any
	lag           *lag           // what the last head check found missing, if anything
}

// conversation is what the device has seen of a conversation.
type conversation struct {
	id        chat.ConversationID
	rev, read int64
	highest   int64    // the highest rev heard of
	request   *request // the catch-up that is under way, if any
}

// request is a sync that has no answer.
type request struct {
	id    string
	asked time.Time // when it was sent last, or is to be sent again
	upTo  int64     // the highest rev heard of by then
}

// lag is a head check that found the device behind.
type lag struct {
	conversations int
	sum           int64
	own           int64 // the device's sum
	at            time.Time
}

// New is a device that has seen nothing.
func New(o Options) Machine { return Machine{options: o} }

// Connected begins a connection of a user: it forgets what the one before was
// asked for, and asks what changed.
func (m *Machine) Connected(now time.Time, me chat.UserID) []wire.Sync {
	m.me, m.list, m.listAgain, m.lag = me, nil, false, nil
	for i := range m.conversations {
		m.conversations[i].request = nil
	}
	return m.askList(nil, now)
}

// Handle takes a frame from the server. Those that say nothing of what has been
// seen are passed over.
func (m *Machine) Handle(now time.Time, t string, raw []byte) (out Output) {
	switch t {
	case "message", "edited", "deleted":
		if f, ok := decode[wire.MessageFrame](raw); ok {
			var place Place
			if place, out.Send = m.Push(now, f.Conversation, f.Rev); place == Next {
				out.Messages = []wire.Message{f.Message}
			}
		}
	case "conversation":
		if f, ok := decode[wire.ConversationFrame](raw); ok {
			_, out.Send = m.Push(now, f.Conversation.ID, f.Conversation.Rev)
		}
	case "removed":
		if f, ok := decode[wire.Removed](raw); ok {
			m.remove(f.Conversation)
		}
	case "mark":
		if f, ok := decode[wire.MarkFrame](raw); ok && f.User == m.me {
			if c := m.find(f.Conversation); c != nil {
				m.advance(c, 0, f.Read)
			}
		}
	case "resync":
		out.Send = m.askList(nil, now)
	case "synced":
		if f, ok := decode[wire.Synced](raw); ok {
			out.Send = m.synced(now, &f)
		}
	case "changes":
		if f, ok := decode[wire.Changes](raw); ok {
			out.Messages, out.Send = m.changes(now, &f)
		}
	case "pong":
		if f, ok := decode[wire.Pong](raw); ok && f.Checked {
			m.HeadCheck(now, f.Conversations, f.Sum)
		}
	case "error":
		if f, ok := decode[wire.ErrorFrame](raw); ok {
			out.Send, out.After = m.refused(now, f.ID), refusedPause
		}
	}
	return out
}

func decode[T any](raw []byte) (v T, ok bool) {
	return v, json.Unmarshal(raw, &v) == nil
}

// Push takes a change that was pushed.
func (m *Machine) Push(now time.Time, id chat.ConversationID, rev int64) (Place, []wire.Sync) {
	c := m.find(id)
	switch {
	case c == nil:
		return Unknown, m.askList(nil, now)
	case rev <= c.rev:
		return Seen, nil
	case rev == c.rev+1:
		m.advance(c, rev, 0)
		return Next, nil
	}
	c.highest = max(c.highest, rev)
	return Ahead, m.catchUp(nil, now, c)
}

// PushNext is Push for a change that is the next one, for which it needs no
// time. It reports whether it was, and does nothing else.
func (m *Machine) PushNext(id chat.ConversationID, rev int64) bool {
	c := m.find(id)
	if c == nil || rev != c.rev+1 {
		return false
	}
	m.advance(c, rev, 0)
	return true
}

// HeadCheck takes the server's numbers of a heartbeat. Whether the device is
// behind shows when Tick is called a second later: pushes may be in flight.
func (m *Machine) HeadCheck(now time.Time, conversations int, sum int64) {
	if !m.behind(conversations, sum) {
		m.lag = nil
	} else if m.lag == nil {
		m.lag = &lag{conversations: conversations, sum: sum, own: m.sum, at: now}
	}
}

func (m *Machine) behind(conversations int, sum int64) bool {
	return m.sum < sum || len(m.conversations) != conversations
}

// Tick asks again what had no answer for too long, and asks for what a head
// check found missing. It is called now and then; the heartbeat's pace will do.
func (m *Machine) Tick(now time.Time) []wire.Sync {
	send := m.repeat(now, func(r *request) bool { return now.Sub(r.asked) > unanswered })
	if l := m.lag; l != nil && now.Sub(l.at) >= headCheckDelay {
		m.lag = nil
		if m.behind(l.conversations, l.sum) && (!m.options.TolerateDelay || m.sum == l.own) {
			send = m.askList(send, now)
		}
	}
	return send
}

// Whole reports whether nothing is known to be missing.
func (m *Machine) Whole() bool {
	return m.complete && m.list == nil && !slices.ContainsFunc(m.conversations, func(c conversation) bool { return c.rev < c.highest })
}

// Has reports whether the device knows of a conversation.
func (m *Machine) Has(id chat.ConversationID) bool { return m.find(id) != nil }

// Rev is the last change of a conversation that was seen, and Read the user's
// mark; 0 for a conversation that is unknown.
func (m *Machine) Rev(id chat.ConversationID) (rev, read int64) {
	if c := m.find(id); c != nil {
		return c.rev, c.read
	}
	return 0, 0
}

// Conversations are those that the device knows of.
func (m *Machine) Conversations() []chat.ConversationID {
	ids := make([]chat.ConversationID, len(m.conversations))
	for i := range m.conversations {
		ids[i] = m.conversations[i].id
	}
	return ids
}

func (m *Machine) search(id chat.ConversationID) (int, bool) {
	return slices.BinarySearchFunc(m.conversations, id, func(c conversation, id chat.ConversationID) int { return cmp.Compare(c.id, id) })
}

// find is valid until conversations come or go.
func (m *Machine) find(id chat.ConversationID) *conversation {
	if i, ok := m.search(id); ok {
		return &m.conversations[i]
	}
	return nil
}

func (m *Machine) remove(id chat.ConversationID) {
	if i, ok := m.search(id); ok {
		c := m.conversations[i]
		m.sum -= c.rev + c.read
		m.conversations = slices.Delete(m.conversations, i, i+1)
	}
}

// advance moves what was seen of a conversation forward.
func (m *Machine) advance(c *conversation, rev, read int64) {
	if rev > c.rev {
		m.sum += rev - c.rev
		c.rev = rev
	}
	if read > c.read {
		m.sum += read - c.read
		c.read = read
	}
	c.highest = max(c.highest, c.rev)
}

// synced takes a page of the list of what changed.
//
// The cursor moves before what changed has come: a conversation whose changes
// did not come, on a connection that was lost, is in no list any more. So all
// that are behind are asked for, not only those in the list.
func (m *Machine) synced(now time.Time, f *wire.Synced) (send []wire.Sync) {
	if m.list == nil || m.list.id != f.ID {
		return nil // a second answer to what was asked again
	}
	m.list, m.cursor = nil, f.Cursor
	for _, id := range f.Gone {
		m.remove(id)
	}
	if len(m.conversations) == 0 {
		m.conversations = slices.Grow(m.conversations, len(f.Conversations)) // and no more
	}
	for i := range f.Conversations {
		s := &f.Conversations[i]
		at, ok := m.search(s.ID)
		if !ok {
			m.conversations = slices.Insert(m.conversations, at, conversation{id: s.ID})
		}
		c := &m.conversations[at]
		if !ok && !m.complete && !m.options.FromStart {
			m.advance(c, s.Rev, 0)
		}
		m.advance(c, 0, s.Read)
		c.highest = max(c.highest, s.Rev)
	}
	for i := range m.conversations {
		send = m.catchUp(send, now, &m.conversations[i])
	}
	if f.More || m.listAgain {
		m.listAgain = false
		return m.askList(send, now)
	}
	m.complete = true
	return send
}

// changes takes a page of what is missing of a conversation.
func (m *Machine) changes(now time.Time, f *wire.Changes) ([]wire.Message, []wire.Sync) {
	c := m.find(f.Conversation)
	if c == nil || c.request == nil || c.request.id != f.ID {
		return nil, nil // as above
	}
	upTo, seen := c.request.upTo, c.rev
	c.request = nil
	messages := slices.DeleteFunc(f.Messages, func(msg wire.Message) bool { return msg.Rev <= seen })
	m.advance(c, f.Rev, 0)
	if !f.More { // then the changes up to there that are not in it are none of messages
		m.advance(c, upTo, 0)
	}
	return messages, m.catchUp(nil, now, c)
}

// askList asks which conversations changed, after the list that is under way.
func (m *Machine) askList(send []wire.Sync, now time.Time) []wire.Sync {
	if m.list != nil {
		m.listAgain = true
		return send
	}
	m.list = m.newRequest(now, 0)
	return append(send, m.listFrame())
}

// catchUp asks for the changes of a conversation that are missing, unless that
// is under way.
func (m *Machine) catchUp(send []wire.Sync, now time.Time, c *conversation) []wire.Sync {
	if c.rev >= c.highest || c.request != nil {
		return send
	}
	c.request = m.newRequest(now, c.highest)
	return append(send, c.frame())
}

// newRequest names a sync by a number, so that a late answer is known as one.
func (m *Machine) newRequest(now time.Time, upTo int64) *request {
	m.requests++
	return &request{id: strconv.FormatUint(uint64(m.requests), 10), asked: now, upTo: upTo}
}

func (m *Machine) listFrame() wire.Sync {
	return wire.Sync{T: "sync", ID: m.list.id, Cursor: m.cursor}
}

func (c *conversation) frame() wire.Sync {
	return wire.Sync{T: "sync", ID: c.request.id, Conversation: c.id, Rev: c.rev}
}

// refused gives the syncs to send again that the server did not answer. When it
// was asked too much at once it does not say which of all that was: then
// everything is asked again that is not about to be, and an answer too many does
// no harm.
func (m *Machine) refused(now time.Time, id string) []wire.Sync {
	return m.repeat(now.Add(refusedPause), func(r *request) bool { return r.id == id || id == "" && !r.asked.After(now) })
}

// repeat gives those syncs without an answer that are due, as sent at a time.
func (m *Machine) repeat(at time.Time, due func(*request) bool) (send []wire.Sync) {
	if m.list != nil && due(m.list) {
		m.list.asked = at
		send = append(send, m.listFrame())
	}
	for i := range m.conversations {
		if c := &m.conversations[i]; c.request != nil && due(c.request) {
			c.request.asked = at
			send = append(send, c.frame())
		}
	}
	return send
}

// Package syncstate decides what a device of hikyaku.v1 has seen and what it must
// request (G4). It is a state machine and nothing else: frames and times go in,
// frames to send and messages to show come out. It has no socket, no goroutine
// and no clock, and costs little, since the load tool has many thousands of them.
//
// The changes of a conversation carry rev 1, 2, 3 …; the machine hands out each
// once, in that order. A pushed change that is not the next one is not taken
// but requested, and so is what a list of changed conversations has beyond what
// was seen.
//
// Nothing counts as seen before it was applied. The cursor moves on when every
// change that the lists up to it have named is there; until then a new
// connection begins at the cursor before.
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
	// answerTimeout is how long a request may be without an answer before it is
	// sent again. It doubles with each attempt, up to maxAnswerTimeout.
	answerTimeout    = 5 * time.Second
	maxAnswerTimeout = time.Minute
	// refusedPause is the wait before a refused request is sent again when the
	// server names none.
	refusedPause = time.Second
	// pushDelay is how long pushes may be in flight: what a list on a connection
	// that is in sync has beyond what was seen is requested only when it does
	// not arrive by itself.
	pushDelay = time.Second
	// maxRequests is how many requests for the changes of conversations may be
	// without an answer, so that the server's limits are not reached.
	maxRequests = 16
)

// Options are how a device behaves.
type Options struct {
	// FromStart has the device read all conversations from their beginning;
	// else it begins with what happens after its first list of them.
	FromStart bool
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
	// Messages are new or changed, and seen for the first time, in the order
	// of their rev.
	Messages []wire.Message
}

// Machine is the state of one device. It outlives connections, of which the
// device has one at a time. It is not safe for concurrent use.
type Machine struct {
	options       Options
	complete      bool // the list of conversations was complete once
	inSync        bool // it was on this connection: what is missing may be in flight
	lost          bool // the last resync says that nothing is in flight
	listAgain     bool // another list is due after the one that is under way
	sweep         bool // the list began without a cursor: conversations that it does not name are left
	lastRequest   uint32
	behind        int // conversations of which changes are missing
	outstanding   int // requests for the changes of conversations that were sent
	me            chat.UserID
	epoch         string         // of the installation's history
	cursor        string         // all changes up to it were seen
	listed        string         // end of the last page of the list; "" once it is the cursor
	conversations []conversation // in the order of their ids
	list          *request       // the list that is under way, if any
}

// conversation is what the device has seen of a conversation.
type conversation struct {
	id        chat.ConversationID
	rev, read int64
	highest   int64    // the highest rev heard of
	request   *request // the catch-up that is under way or due, if any
	named     bool     // by the list that began without a cursor
}

// request is a sync that has no answer, or is to be sent later.
type request struct {
	id       string
	due      time.Time // when it is sent, or sent again
	attempts int       // how often it was sent
}

// New is a device that has seen nothing.
func New(o Options) Machine { return Machine{options: o} }

// Connected begins a connection of a user in an epoch, as hello has them: it
// forgets what the one before was asked for, and asks what changed. In another
// epoch it begins anew: the installation's history may have gone back, and what
// was seen says nothing any more.
func (m *Machine) Connected(now time.Time, me chat.UserID, epoch string) []wire.Sync {
	if m.epoch != "" && m.epoch != epoch {
		*m = Machine{options: m.options, lastRequest: m.lastRequest}
	}
	m.epoch = epoch
	m.me, m.list, m.listAgain, m.inSync, m.lost, m.listed, m.outstanding = me, nil, false, false, false, "", 0
	for i := range m.conversations {
		m.conversations[i].request = nil
	}
	m.requestList(now)
	return m.sendDue(now)
}

// Handle takes a frame from the server. Those that say nothing of what has been
// seen are passed over.
func (m *Machine) Handle(now time.Time, t string, raw []byte) (out Output) {
	switch t {
	case "message", "edited", "deleted":
		if f, ok := decode[wire.MessageFrame](raw); ok {
			if m.take(now, f.Conversation, f.Rev) == Next {
				out.Messages = []wire.Message{f.Message}
			}
		}
	case "conversation":
		if f, ok := decode[wire.ConversationFrame](raw); ok {
			m.take(now, f.Conversation.ID, f.Conversation.Rev)
		}
	case "removed":
		if f, ok := decode[wire.Removed](raw); ok {
			m.removed(&f)
		}
	case "mark":
		if f, ok := decode[wire.MarkFrame](raw); ok && f.User == m.me {
			if c := m.find(f.Conversation); c != nil {
				c.read = max(c.read, f.Read)
			}
		}
	case "resync":
		if f, ok := decode[wire.Resync](raw); ok {
			m.lost = f.Lost
		}
		m.requestList(now)
	case "synced":
		if f, ok := decode[wire.Synced](raw); ok {
			m.synced(now, &f)
		}
	case "changes":
		if f, ok := decode[wire.Changes](raw); ok {
			out.Messages = m.changes(now, &f)
		}
	case "error":
		if f, ok := decode[wire.ErrorFrame](raw); ok {
			m.refused(now, &f)
		}
	}
	m.moveCursor()
	out.Send = m.sendDue(now)
	return out
}

func decode[T any](raw []byte) (v T, ok bool) {
	return v, json.Unmarshal(raw, &v) == nil
}

// Push takes a change that was pushed.
func (m *Machine) Push(now time.Time, id chat.ConversationID, rev int64) (Place, []wire.Sync) {
	place := m.take(now, id, rev)
	m.moveCursor()
	return place, m.sendDue(now)
}

func (m *Machine) take(now time.Time, id chat.ConversationID, rev int64) Place {
	c := m.find(id)
	switch {
	case c == nil:
		m.requestList(now)
		return Unknown
	case rev <= c.rev:
		return Seen
	case rev == c.rev+1:
		m.advance(c, rev, rev)
		return Next
	}
	m.advance(c, 0, rev)
	c.catchUp(now)
	return Ahead
}

// PushNext is Push for a change that is the next one, for which it needs no
// time. It reports whether it was, and does nothing else.
func (m *Machine) PushNext(id chat.ConversationID, rev int64) bool {
	c := m.find(id)
	if c == nil || rev != c.rev+1 {
		return false
	}
	m.advance(c, rev, rev)
	m.moveCursor()
	return true
}

// Tick sends what is due; see [Machine.Due].
func (m *Machine) Tick(now time.Time) []wire.Sync { return m.sendDue(now) }

// Due returns when Tick has something to send, the zero time for never. A frame
// may change it.
func (m *Machine) Due() time.Time {
	var due time.Time
	earlier := func(r *request) {
		if r != nil && (due.IsZero() || r.due.Before(due)) {
			due = r.due
		}
	}
	earlier(m.list)
	for i := range m.conversations {
		c := &m.conversations[i]
		if c.request != nil && (c.request.attempts > 0 || m.outstanding < maxRequests) {
			earlier(c.request)
		}
	}
	return due
}

// Cursor is a position up to which the device has seen all changes, for its
// pings. It is empty while a list is under way.
func (m *Machine) Cursor() string {
	if m.list != nil {
		return ""
	}
	return m.cursor
}

// Whole reports whether nothing is known to be missing.
func (m *Machine) Whole() bool { return m.complete && m.list == nil && m.behind == 0 }

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

// removed takes a removal, unless the user is known to have been in the
// conversation after it: it was overtaken then.
func (m *Machine) removed(f *wire.Removed) {
	if c := m.find(f.Conversation); c == nil || f.Rev == 0 || f.Rev > c.highest {
		m.remove(f.Conversation)
	}
}

func (m *Machine) remove(id chat.ConversationID) {
	i, ok := m.search(id)
	if !ok {
		return
	}
	c := &m.conversations[i]
	m.dropRequest(c)
	if c.rev < c.highest {
		m.behind--
	}
	m.conversations = slices.Delete(m.conversations, i, i+1)
}

// advance records that a conversation was seen up to rev, and heard of up to
// highest. Both never go back.
func (m *Machine) advance(c *conversation, rev, highest int64) {
	wasBehind := c.rev < c.highest
	c.rev = max(c.rev, rev)
	c.highest = max(c.highest, highest, c.rev)
	switch isBehind := c.rev < c.highest; {
	case isBehind && !wasBehind:
		m.behind++
	case wasBehind && !isBehind:
		m.behind--
		if c.request != nil && c.request.attempts == 0 {
			c.request = nil // it arrived by itself
		}
	}
}

// moveCursor moves the cursor to the end of the last page of the list when
// everything that the pages named was seen.
func (m *Machine) moveCursor() {
	if m.listed != "" && m.behind == 0 {
		m.cursor, m.listed = m.listed, ""
	}
}

// synced takes a page of the list of what changed.
func (m *Machine) synced(now time.Time, f *wire.Synced) {
	if m.list == nil || m.list.id != f.ID {
		return // a second answer to what was asked again
	}
	m.list, m.listed = nil, f.Cursor
	for _, id := range f.Gone {
		if c := m.find(id); c != nil && c.rev < c.highest {
			m.listAgain = true // it may have been heard of since the list was made: the user is in it again
		}
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
		c.named = true
		c.read = max(c.read, s.Read)
		if !ok && !m.complete && !m.options.FromStart {
			m.advance(c, s.Rev, s.Rev)
		} else {
			m.advance(c, 0, s.Rev)
		}
	}
	// Everything that is behind is requested, not only what the page names: the
	// connection on which it was requested before may have been lost.
	due := now
	if m.inSync && !m.lost {
		due = now.Add(pushDelay)
	}
	for i := range m.conversations {
		m.conversations[i].catchUp(due)
	}
	if f.More {
		m.requestPage(now)
		return
	}
	if m.sweep {
		m.sweep = false
		for i := len(m.conversations) - 1; i >= 0; i-- {
			if c := &m.conversations[i]; !c.named {
				m.remove(c.id)
			}
		}
	}
	m.complete, m.inSync = true, true
	if m.listAgain {
		m.listAgain = false
		m.requestPage(now)
	}
}

// changes takes a page of what is missing of a conversation.
func (m *Machine) changes(now time.Time, f *wire.Changes) []wire.Message {
	c := m.find(f.Conversation)
	if c == nil || c.request == nil || c.request.id != f.ID {
		return nil // as above
	}
	seen := c.rev
	m.dropRequest(c)
	messages := slices.DeleteFunc(f.Messages, func(msg wire.Message) bool { return msg.Rev <= seen })
	m.advance(c, f.Rev, f.Rev)
	due := now
	if c.rev == seen { // the server does not have it yet, such as a replica
		due = now.Add(refusedPause)
	}
	c.catchUp(due)
	return messages
}

// refused takes the refusal of a request, which is sent again later.
func (m *Machine) refused(now time.Time, f *wire.ErrorFrame) {
	due := now.Add(max(time.Duration(f.RetryAfterMS)*time.Millisecond, refusedPause))
	if m.list != nil && m.list.id == f.ID {
		if chat.Code(f.Code) == chat.CodeInvalid { // the server does not know the cursor
			m.cursor, m.listed, m.list = "", "", nil
			m.requestPage(due)
			return
		}
		m.list.due = due
		return
	}
	for i := range m.conversations {
		if c := &m.conversations[i]; c.request != nil && c.request.id == f.ID {
			m.dropRequest(c)
			c.catchUp(due)
			if chat.Code(f.Code) == chat.CodeNotFound { // the user was removed
				m.requestList(now)
			}
			return
		}
	}
}

// requestList asks which conversations changed, after the list that is under way.
func (m *Machine) requestList(now time.Time) {
	if m.list != nil {
		m.listAgain = true
		return
	}
	m.requestPage(now)
}

// requestPage asks for the next page of the list, or for the first one of another.
func (m *Machine) requestPage(due time.Time) {
	if m.cursor == "" && m.listed == "" {
		m.sweep = true
		for i := range m.conversations {
			m.conversations[i].named = false
		}
	}
	m.list = &request{due: due}
}

// catchUp asks for the changes of a conversation that are missing, unless that
// is under way.
func (c *conversation) catchUp(due time.Time) {
	if c.rev < c.highest && c.request == nil {
		c.request = &request{due: due}
	}
}

func (m *Machine) dropRequest(c *conversation) {
	if c.request != nil && c.request.attempts > 0 {
		m.outstanding--
	}
	c.request = nil
}

// sendDue returns the requests that are due, and takes them as sent.
func (m *Machine) sendDue(now time.Time) (send []wire.Sync) {
	if m.list != nil && !now.Before(m.list.due) {
		m.sent(m.list, now)
		send = append(send, wire.Sync{T: "sync", ID: m.list.id, Cursor: cmp.Or(m.listed, m.cursor)})
	}
	if m.behind == 0 && m.outstanding == 0 {
		return send
	}
	for i := range m.conversations {
		c := &m.conversations[i]
		r := c.request
		if r != nil && c.rev == c.highest && r.attempts > 0 && !now.Before(r.due) {
			m.dropRequest(c) // its answer did not come, and is not needed any more
			continue
		}
		if r == nil || now.Before(r.due) || r.attempts == 0 && m.outstanding == maxRequests {
			continue
		}
		if r.attempts == 0 {
			m.outstanding++
		}
		m.sent(r, now)
		send = append(send, wire.Sync{T: "sync", ID: r.id, Conversation: c.id, Rev: c.rev})
	}
	return send
}

// sent records that a request is sent now. Each is named by a number, so that a
// late answer is known as one.
func (m *Machine) sent(r *request, now time.Time) {
	if r.attempts == 0 {
		m.lastRequest++
		r.id = strconv.FormatUint(uint64(m.lastRequest), 10)
	}
	r.due = now.Add(min(answerTimeout<<min(r.attempts, 8), maxAnswerTimeout))
	r.attempts++
}

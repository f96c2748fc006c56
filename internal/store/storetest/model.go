package storetest

import (
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// room is the model of a conversation: the state that a store must have, without
// any of the mechanics of a store.
type room struct {
	id    chat.ConversationID
	kind  chat.Kind
	title string
	rev   int64
	mrev  int64
	told  int64 // mrev as the last change told it
	msgs  []chat.Message
	in    map[chat.UserID]*membership
}

// membership is the model of a membership.
type membership struct {
	role     chat.Role
	read     int64
	received int64
	marked   bool // a mark has moved since the member joined
}

type sentMessage struct {
	in     chat.Submission
	out    chat.Message // Seq and Conversation identify it in rooms
	failed chat.Code    // "" when it was stored
}

// model is all rooms and all sends.
type model struct {
	rooms []*room
	sends map[sendKey]sentMessage
	order []sendKey // the keys of sends, for random choice
}

type sendKey struct {
	by chat.UserID
	id chat.ClientID
}

func (r *room) seq() int64 { return int64(len(r.msgs)) }

func (r *room) role(u chat.UserID) chat.Role {
	if p := r.in[u]; p != nil {
		return p.role
	}
	return ""
}

func (r *room) members() []chat.UserID {
	out := make([]chat.UserID, 0, len(r.in))
	for u := range r.in {
		out = append(out, u)
	}
	slices.Sort(out)
	return out
}

func (r *room) audience() chat.Audience {
	return chat.Audience{Conversation: r.id, MembersRev: r.mrev, Members: r.members()}
}

func (m *model) room(id chat.ConversationID) *room {
	i := slices.IndexFunc(m.rooms, func(r *room) bool { return r.id == id })
	return m.rooms[i]
}

// send applies a submission and returns the message's seq, or the code of the
// refusal.
func (m *model) send(s chat.Submission) (verdict chat.Verdict, seq int64, code chat.Code) {
	r := m.room(s.Conversation)
	key := sendKey{s.Sender, s.ClientID}
	e, ok := m.sends[key]
	switch {
	case ok && e.failed != "" && s.Requeued:
	case ok && e.failed != "":
		if e.in.Conversation != s.Conversation || e.in.ReplyTo != s.ReplyTo || e.in.Body != s.Body {
			return 0, 0, chat.CodeConflict
		}
		return 0, 0, e.failed
	case ok:
		if e.in.Conversation != s.Conversation || e.in.ReplyTo != s.ReplyTo || e.in.Body != s.Body {
			return 0, 0, chat.CodeConflict
		}
		return chat.Duplicate, e.out.Seq, ""
	}
	if !ok {
		m.order = append(m.order, key)
	}
	s.Requeued = false
	switch {
	case r.in[s.Sender] == nil:
		code = chat.CodeNotFound
	case s.Body == "" || s.ReplyTo > r.seq():
		code = chat.CodeInvalid
	}
	if code != "" {
		m.sends[key] = sentMessage{in: s, failed: code}
		return 0, 0, code
	}
	r.rev++
	msg := chat.Message{
		Conversation: r.id, Seq: r.seq() + 1, Rev: r.rev, Sender: s.Sender, ClientID: s.ClientID, Body: s.Body, ReplyTo: s.ReplyTo,
	}
	r.msgs = append(r.msgs, msg)
	m.sends[key] = sentMessage{in: s, out: msg}
	return chat.Stored, msg.Seq, ""
}

// summary returns what a member sees, as far as the model knows it.
func (r *room) summary(u chat.UserID) (rev, seq, read, unread int64, role chat.Role) {
	p := r.in[u]
	from := p.read
	for i := r.seq(); i > 0 && i > r.seq()-100; i-- {
		if r.msgs[i-1].Sender == u {
			from = max(from, i)
			break
		}
	}
	return r.rev, r.seq(), p.read, r.seq() - from, p.role
}

// othersRead is the highest read mark of the other members that has moved.
func (r *room) othersRead(u chat.UserID) (read int64) {
	if r.kind == chat.Direct {
		return 0
	}
	for other, p := range r.in {
		if other != u && p.marked {
			read = max(read, p.read)
		}
	}
	return read
}

// enroll adds members in one change.
func (r *room) enroll(users ...chat.UserID) {
	r.rev++
	r.mrev = r.rev
	for _, u := range users {
		r.in[u] = &membership{role: chat.Member, read: r.seq(), received: r.seq()}
	}
}

// remove removes a member; successor becomes owner, 0 for nobody.
func (r *room) remove(u, successor chat.UserID) {
	r.rev++
	r.mrev = r.rev
	delete(r.in, u)
	if successor != 0 {
		r.in[successor].role = chat.Owner
	}
}

func (r *room) owners() (n int) {
	for _, p := range r.in {
		if p.role == chat.Owner {
			n++
		}
	}
	return n
}

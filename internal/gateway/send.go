package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/socket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// hold keeps the order of one sender's messages to a conversation (G3): once a
// send was refused for now, those that the client had sent behind it, not
// knowing, are refused too, until it comes again. After holdTime the client
// knows, and its order is its own doing.
type hold struct {
	id    chat.ClientID
	until time.Time
}

const holdTime = time.Second

// codes of refusals that belong to the socket alone.
const (
	codeInFlight chat.Code = "in_flight"
	codeOrder    chat.Code = "order"
)

var errTaken = chat.Refuse(chat.CodeConflict, "id", "another message was sent under this id")

// A send is let in, which costs its user a turn, before anything is looked up
// or remembered for it; so what a client sends in vain is bounded like the rest.

// sendQuickly handles a send for which memory is enough, and tells whether it
// was. It does not block.
func (s *session) sendQuickly(f *wire.Send) bool {
	room, known := s.g.rooms.peek(f.Conversation)
	if !known {
		return false
	}
	v := free
	if c := s.g.claims; c != nil {
		if v = c.look(s.user, f); v == unknown {
			return false
		}
	}
	if s.letIn(f) {
		s.publish(f, room.has(s.user), v)
	}
	return true
}

// sendAfterLoad is a send for which something must be looked up first: the
// sender's membership, or whether its name is taken.
func (s *session) sendAfterLoad(ctx context.Context, f *wire.Send) {
	if !s.letIn(f) {
		return
	}
	room, err := s.g.rooms.load(ctx, f.Conversation)
	if err != nil && chat.CodeOf(err) != chat.CodeNotFound {
		s.g.log.Error("members could not be looked up", "conversation", f.Conversation, "error", err)
		s.rejectForNow(f, chat.CodeUnavailable, "the message cannot be taken now", 500*time.Millisecond)
		return
	}
	member, v := room.has(s.user), free
	if c := s.g.claims; c != nil && member {
		if v = c.look(s.user, f); v == unknown {
			if v, err = c.lookUp(ctx, s.user, f); err != nil {
				s.g.log.Error("the name of a message could not be looked up", "error", err)
				s.rejectForNow(f, chat.CodeUnavailable, "the message cannot be taken now", 500*time.Millisecond)
				return
			}
		}
	}
	s.publish(f, member, v)
}

// letIn tells whether a send may go on now; when it may not, its client is told.
func (s *session) letIn(f *wire.Send) bool {
	if s.isHeld(f) {
		s.push(wire.Rejected{T: "rejected", ID: f.ID, Code: string(codeOrder), Text: "an earlier message to this conversation must come first", RetryAfterMS: 100})
		return false
	}
	if s.g.lingering.Err() != nil {
		s.rejectForNow(f, chat.CodeUnavailable, "this gateway is stopping; connect again", time.Second)
		return false
	}
	if int(s.inFlight.Load()) >= s.g.cfg.InFlight {
		s.rejectForNow(f, codeInFlight, "too many messages wait for their answer", 100*time.Millisecond)
		return false
	}
	if r := s.sends.Reserve(); r.Delay() > 0 {
		wait := r.Delay()
		r.Cancel()
		s.rejectForNow(f, chat.CodeRateLimited, "you send too fast", wait)
		return false
	}
	return true
}

// publish hands a send to the broker, or says why it can never be taken. It
// does not block.
func (s *session) publish(f *wire.Send, member bool, name verdict) {
	if !member {
		s.reject(f, chat.NotFound("conversation"))
		return
	}
	submission := chat.Submission{
		Sender: s.user, Conversation: f.Conversation, ClientID: f.ID, Body: f.Body, ReplyTo: f.ReplyTo,
		ReceivedAt: time.Now(),
	}
	var refusal *chat.Error
	if errors.As(submission.Check(), &refusal) {
		s.reject(f, refusal)
		return
	}
	if c := s.g.claims; c != nil && (name == conflict || c.take(s.user, f) == conflict) {
		s.reject(f, errTaken)
		return
	}
	s.inFlight.Add(1)
	s.g.inFlight.Add(1)
	if err := s.g.parts.Publisher.Publish(submission, func(err error) { s.confirmed(f, err) }); err != nil {
		s.confirmed(f, err)
	}
}

// confirmed answers a send. The broker calls it.
func (s *session) confirmed(f *wire.Send, err error) {
	s.inFlight.Add(-1)
	defer s.g.inFlight.Add(-1)
	if err == nil {
		s.conn.Send(socket.NewFrame(wire.AppendAccepted(make([]byte, 0, 64), f.ID)))
		return
	}
	var refusal *chat.Error
	switch {
	case !errors.As(err, &refusal):
		s.rejectForNow(f, chat.CodeUnavailable, "it is not known whether the message was kept; send it again", 500*time.Millisecond)
	case refusal.Code == chat.CodeOverloaded, refusal.Code == chat.CodeUnavailable:
		s.rejectForNow(f, refusal.Code, refusal.Text, 500*time.Millisecond)
	default:
		s.reject(f, refusal)
	}
}

// reject refuses a send for good.
func (s *session) reject(f *wire.Send, refusal *chat.Error) {
	s.push(wire.Rejected{T: "rejected", ID: f.ID, Code: string(refusal.Code), Text: refusal.Error()})
}

// rejectForNow refuses a send that may come again.
func (s *session) rejectForNow(f *wire.Send, code chat.Code, text string, after time.Duration) {
	s.mu.Lock()
	s.hold(f.Conversation, f.ID)
	s.mu.Unlock()
	s.push(wire.Rejected{T: "rejected", ID: f.ID, Code: string(code), Text: text, RetryAfterMS: max(after.Milliseconds(), 1)})
}

// hold begins a hold, or makes one last that waits for the same send or has
// run out. s.mu is held.
func (s *session) hold(conversation chat.ConversationID, id chat.ClientID) {
	now := time.Now()
	if h, ok := s.held[conversation]; ok && h.id != id && now.Before(h.until) {
		return
	}
	if s.held == nil {
		s.held = map[chat.ConversationID]hold{}
	}
	s.held[conversation] = hold{id: id, until: now.Add(holdTime)}
}

// isHeld tells whether f must wait for an earlier one, and ends the hold when
// f is the one that it waits for.
func (s *session) isHeld(f *wire.Send) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[f.Conversation]
	if !ok {
		return false
	}
	if h.id != f.ID && time.Now().Before(h.until) {
		return true
	}
	delete(s.held, f.Conversation)
	return false
}

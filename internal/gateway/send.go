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

// sendAfterLoad is a send whose sender's membership is not at hand.
func (s *session) sendAfterLoad(ctx context.Context, f *wire.Send) {
	room, err := s.g.rooms.load(ctx, f.Conversation)
	if err != nil && chat.CodeOf(err) != chat.CodeNotFound {
		s.g.log.Error("members could not be looked up", "conversation", f.Conversation, "error", err)
		s.rejectForNow(f, chat.CodeUnavailable, "the message cannot be taken now", 500*time.Millisecond)
		return
	}
	s.send(f, room.has(s.user))
}

// send publishes a message, or says why not. It does not block.
func (s *session) send(f *wire.Send, member bool) {
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
	if s.isHeld(f) {
		s.push(wire.Rejected{T: "rejected", ID: f.ID, Code: string(codeOrder), Text: "an earlier message to this conversation must come first", RetryAfterMS: 100})
		return
	}
	if s.g.draining.Load() {
		s.rejectForNow(f, chat.CodeUnavailable, "this gateway is stopping; connect again", time.Second)
		return
	}
	if int(s.inFlight.Load()) >= s.g.cfg.InFlight {
		s.rejectForNow(f, codeInFlight, "too many messages wait for their answer", 100*time.Millisecond)
		return
	}
	if r := s.sends.Reserve(); r.Delay() > 0 {
		wait := r.Delay()
		r.Cancel()
		s.rejectForNow(f, chat.CodeRateLimited, "you send too fast", wait)
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
	if s.held == nil {
		s.held = map[chat.ConversationID]hold{}
	}
	if _, ok := s.held[f.Conversation]; !ok {
		s.held[f.Conversation] = hold{id: f.ID, until: time.Now().Add(holdTime)}
	}
	s.mu.Unlock()
	s.push(wire.Rejected{T: "rejected", ID: f.ID, Code: string(code), Text: text, RetryAfterMS: max(after.Milliseconds(), 1)})
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

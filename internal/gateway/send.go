package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// codes of refusals that belong to the socket alone.
const (
	codeInFlight chat.Code = "in_flight"
	codeOrder    chat.Code = "order"
)

var errIDTaken = chat.Refuse(chat.CodeConflict, "id", "another message was sent under this id")

// A send is let in, which costs its user a turn, before anything is looked up
// or remembered for it; so what a client sends in vain is bounded like the rest.

// sendInline handles a send for which memory is enough, and tells whether it
// was. It does not block.
func (s *session) sendInline(f *wire.Send, arrival int64) bool {
	room, known := s.g.members.get(f.Conversation)
	if !known {
		return false
	}
	v := idFree
	if c := s.g.idempotency; c != nil {
		if v = c.check(s.user, f); v == idUnknown {
			return false
		}
	}
	if s.admit(f, arrival) {
		s.publish(f, arrival, room.has(s.user), v)
	}
	return true
}

// sendWithLookup is a send for which something must be looked up first: the
// sender's membership, or whether its name is taken.
func (s *session) sendWithLookup(ctx context.Context, f *wire.Send, arrival int64) {
	if !s.admit(f, arrival) {
		return
	}
	room, err := s.g.members.load(ctx, f.Conversation)
	if err != nil && chat.CodeOf(err) != chat.CodeNotFound {
		s.g.log.Error("members could not be looked up", "conversation", f.Conversation, "error", err)
		s.rejectRetryable(f, arrival, chat.CodeUnavailable, "the message cannot be taken now", 500*time.Millisecond)
		return
	}
	member, v := room.has(s.user), idFree
	if c := s.g.idempotency; c != nil && member {
		if v = c.check(s.user, f); v == idUnknown {
			if v, err = c.lookUp(ctx, s.user, f); err != nil {
				s.g.log.Error("the name of a message could not be looked up", "error", err)
				s.rejectRetryable(f, arrival, chat.CodeUnavailable, "the message cannot be taken now", 500*time.Millisecond)
				return
			}
		}
	}
	s.publish(f, arrival, member, v)
}

// admit reports whether a send may go on now; when it may not, its client is
// told.
func (s *session) admit(f *wire.Send, arrival int64) bool {
	if s.mustWait(f, arrival) {
		s.rejectOutOfOrder(f, arrival)
		return false
	}
	if s.g.drainCtx.Err() != nil {
		s.rejectRetryable(f, arrival, chat.CodeUnavailable, "this gateway is stopping; connect again", time.Second)
		return false
	}
	if int(s.inFlight.Load()) >= s.g.cfg.InFlight {
		s.rejectRetryable(f, arrival, codeInFlight, "too many messages wait for their answer", 100*time.Millisecond)
		return false
	}
	if r := s.sendLimiter.Reserve(); r.Delay() > 0 {
		wait := r.Delay()
		r.Cancel()
		s.rejectRetryable(f, arrival, chat.CodeRateLimited, "you send too fast", wait)
		return false
	}
	return true
}

// publish hands a send to the broker, or says why it can never be taken. It
// does not block.
func (s *session) publish(f *wire.Send, arrival int64, member bool, name idState) {
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
	if c := s.g.idempotency; c != nil && (name == idConflict || c.reserve(s.user, f) == idConflict) {
		s.reject(f, errIDTaken)
		return
	}
	// One step with the check: an earlier message may have been refused since
	// this one was let in, by the broker or while something was looked up.
	s.mu.Lock()
	arrival = s.order.arrivalOf(f.Conversation, f.ID, arrival)
	if s.order.mustWait(f.Conversation, arrival, submission.ReceivedAt) {
		s.mu.Unlock()
		s.rejectOutOfOrder(f, arrival)
		return
	}
	s.order.remove(f.Conversation, f.ID)
	s.inFlight.Add(1)
	s.g.inFlight.Add(1)
	err := s.g.deps.Publisher.Publish(submission, func(err error) { s.confirmed(f, arrival, err) })
	s.mu.Unlock()
	if err != nil {
		s.confirmed(f, arrival, err)
	}
}

// confirmed answers a send. The broker calls it.
func (s *session) confirmed(f *wire.Send, arrival int64, err error) {
	s.inFlight.Add(-1)
	defer s.g.inFlight.Add(-1)
	if err == nil {
		s.conn.Send(websocket.NewFrame(wire.AppendAccepted(make([]byte, 0, 64), f.ID)))
		return
	}
	var refusal *chat.Error
	switch {
	case !errors.As(err, &refusal):
		s.rejectRetryable(f, arrival, chat.CodeUnavailable, "it is not known whether the message was kept; send it again", 500*time.Millisecond)
	case refusal.Code == chat.CodeOverloaded, refusal.Code == chat.CodeUnavailable:
		s.rejectRetryable(f, arrival, refusal.Code, refusal.Text, 500*time.Millisecond)
	default:
		s.reject(f, refusal)
	}
}

// reject refuses a send for good.
func (s *session) reject(f *wire.Send, refusal *chat.Error) {
	s.mu.Lock()
	s.order.remove(f.Conversation, f.ID)
	s.mu.Unlock()
	s.push(wire.Rejected{T: "rejected", ID: f.ID, Code: string(refusal.Code), Text: refusal.Error()})
}

// rejectRetryable refuses a send that may come again. What arrived behind it waits
// for it.
func (s *session) rejectRetryable(f *wire.Send, arrival int64, code chat.Code, text string, after time.Duration) {
	s.mu.Lock()
	kept := s.order.refuse(f.Conversation, f.ID, s.order.arrivalOf(f.Conversation, f.ID, arrival), time.Now())
	s.mu.Unlock()
	if !kept {
		// A new connection sends all that has no answer, in its order.
		s.conn.Close(wire.CloseGoodbye, "too many messages were refused; connect again")
		return
	}
	s.push(wire.Rejected{T: "rejected", ID: f.ID, Code: string(code), Text: text, RetryAfterMS: max(after.Milliseconds(), 1)})
}

// rejectOutOfOrder refuses a send because one that came before it was refused.
func (s *session) rejectOutOfOrder(f *wire.Send, arrival int64) {
	s.rejectRetryable(f, arrival, codeOrder, "an earlier message to this conversation must come first", 100*time.Millisecond)
}

// mustWait reports whether a send must wait for an earlier one.
func (s *session) mustWait(f *wire.Send, arrival int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.mustWait(f.Conversation, s.order.arrivalOf(f.Conversation, f.ID, arrival), time.Now())
}

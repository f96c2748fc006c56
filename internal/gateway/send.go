package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Codes of refusals that only hikyaku.v1 has.
const (
	codeInFlight chat.Code = "in_flight"
	codeOrder    chat.Code = "order"
)

var errIDTaken = chat.Refuse(chat.CodeConflict, "id", "another message was sent under this id")

// A send is admitted, which consumes a token of its user's rate limit, before
// anything is looked up or stored for it. So refused sends are rate-limited too.

// sendInline handles a send for which no look-up is needed, and reports whether
// it did. It does not block.
func (s *session) sendInline(f *wire.Send, arrival int64) bool {
	members, cached := s.g.members.get(f.Conversation)
	if !cached {
		return false
	}
	state := idFree
	if c := s.g.idempotency; c != nil {
		if state = c.check(s.user, f); state == idUnknown {
			return false
		}
	}
	if s.admit(f, arrival) {
		s.publish(f, arrival, members.has(s.user), state)
	}
	return true
}

// sendWithLookup handles a send for which something may have to be looked up:
// the sender's membership, or whether the client id is already used. It blocks.
func (s *session) sendWithLookup(ctx context.Context, f *wire.Send, arrival int64) {
	if !s.admit(f, arrival) {
		return
	}
	members, err := s.g.members.load(ctx, f.Conversation)
	if err != nil && chat.CodeOf(err) != chat.CodeNotFound {
		s.g.log.Error("members could not be looked up", "conversation", f.Conversation, "error", err)
		s.rejectRetryable(f, arrival, chat.CodeUnavailable, "the message cannot be taken now", 500*time.Millisecond)
		return
	}
	member, state := members.has(s.user), idFree
	if c := s.g.idempotency; c != nil && member {
		if state = c.check(s.user, f); state == idUnknown {
			if state, err = c.lookUp(ctx, s.user, f); err != nil {
				s.g.log.Error("a client id could not be looked up", "error", err)
				s.rejectRetryable(f, arrival, chat.CodeUnavailable, "the message cannot be taken now", 500*time.Millisecond)
				return
			}
		}
	}
	s.publish(f, arrival, member, state)
}

// admit reports whether a send may proceed now. If not, it has answered the
// client.
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

// publish passes a send to the broker, or rejects it when it can never be
// accepted. It does not block.
func (s *session) publish(f *wire.Send, arrival int64, member bool, state idState) {
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
	if c := s.g.idempotency; c != nil && (state == idConflict || c.reserve(s.user, f) == idConflict) {
		s.reject(f, errIDTaken)
		return
	}
	// Check and publish under one lock: an earlier message may have been refused
	// since this one was admitted, by the broker or during a look-up.
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

// confirmed answers a send when the broker has confirmed or refused it.
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

// reject refuses a send finally.
func (s *session) reject(f *wire.Send, refusal *chat.Error) {
	s.mu.Lock()
	s.order.remove(f.Conversation, f.ID)
	s.mu.Unlock()
	s.push(wire.Rejected{T: "rejected", ID: f.ID, Code: string(refusal.Code), Text: refusal.Error()})
}

// rejectRetryable refuses a send that may be retried after a time. Sends that
// arrived after it wait for the retry.
func (s *session) rejectRetryable(f *wire.Send, arrival int64, code chat.Code, text string, after time.Duration) {
	s.mu.Lock()
	kept := s.order.refuse(f.Conversation, f.ID, s.order.arrivalOf(f.Conversation, f.ID, arrival), time.Now())
	s.mu.Unlock()
	if !kept {
		// On a new connection the client sends all unanswered messages in order.
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

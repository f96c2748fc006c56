package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Codes of refusals that only hikyaku.v1 has.
const (
	codeInFlight chat.Code = "in_flight"
	codeOrder    chat.Code = "order"
)

// retryAfter is the wait before a retry after an error that may be over soon.
const retryAfter = 500 * time.Millisecond

var (
	errStopping = &submission.RetryError{
		Refusal: chat.Refuse(chat.CodeUnavailable, "", "this gateway is stopping; connect again"), After: time.Second,
	}
	errInFlight = &submission.RetryError{
		Refusal: chat.Refuse(codeInFlight, "", "too many messages wait for their answer"), After: 100 * time.Millisecond,
	}
	errOrder = &submission.RetryError{
		Refusal: chat.Refuse(codeOrder, "", "an earlier message to this conversation was refused; send it again first, or withdraw it"), After: 100 * time.Millisecond,
	}
	errOverflow = &submission.RetryError{
		Refusal: chat.Refuse(chat.CodeOverloaded, "", overflowText), After: retryAfter,
	}
	errLookupFailed = &submission.RetryError{
		Refusal: chat.Refuse(chat.CodeUnavailable, "", "the message cannot be taken now"), After: retryAfter,
	}
	errClosed = &submission.RetryError{
		Refusal: chat.Refuse(chat.CodeUnavailable, "", "the connection is closed"), After: retryAfter,
	}
	errUnknown = &submission.RetryError{
		Refusal: chat.Refuse(chat.CodeUnavailable, "", "it is not known whether the message was kept; send it again"), After: retryAfter,
	}
)

// errTooMuch refuses a frame because of what the connection owes. Half of its budget
// is free again when the wait is over.
func errTooMuch(debt time.Duration) *submission.RetryError {
	return &submission.RetryError{
		Refusal: chat.Refuse(chat.CodeRateLimited, "", "too many frames on this connection"), After: debt - budgetSize/2,
	}
}

func newSubmissions(g *Gateway) *submission.Service {
	return submission.New(submission.Config{
		Publisher: g.deps.Publisher, SendLimiter: g.deps.SendLimiter, Memberships: g.members, Refuser: g.deps.Refuser,
		Idempotency: g.deps.Idempotency,
	})
}

// sendRef identifies a send until it is answered.
type sendRef struct {
	id           chat.ClientID
	conversation chat.ConversationID
	arrival      int64
}

func refOf(r submission.Request) sendRef {
	return sendRef{id: r.ClientID, conversation: r.Conversation, arrival: r.Arrival}
}

func (s *session) requestOf(f *wire.Send, arrival int64) submission.Request {
	return submission.Request{
		Submission: chat.Submission{Sender: s.user, Conversation: f.Conversation, ClientID: f.ID, Body: f.Body, ReplyTo: f.ReplyTo},
		Arrival:    arrival,
	}
}

// submissions returns the sender of the session's submissions. It makes one for the
// first send: most sessions only receive.
func (s *session) submissions() *submission.Sender {
	if s.sender != nil {
		return s.sender
	}
	sender := s.g.submissions.NewSender(s.user)
	s.mu.Lock()
	s.sender = sender
	closed := s.closed
	s.mu.Unlock()
	if closed { // too late to be closed with the session
		sender.Close()
	}
	return sender
}

// refuseUnread refuses a send frame before it is decoded, because of the broker, and
// reports whether it did: not when frames before it wait, behind which it keeps its
// place, and not when it is another frame. Under overload a refusal that cost as much
// as a message would leave little time for messages.
func (s *session) refuseUnread(p []byte, err error) bool {
	id, conversation, ok := wire.SendHead(p)
	if !ok {
		return false
	}
	s.mu.Lock()
	if s.busy {
		s.mu.Unlock()
		return false
	}
	s.lastArrival++
	arrival := s.lastArrival
	s.mu.Unlock()
	s.refuseSend(sendRef{id: id, conversation: conversation, arrival: arrival}, err)
	return true
}

// sendInline handles a send for which no look-up is needed, and reports whether
// it did. It does not block.
func (s *session) sendInline(f *wire.Send, arrival int64) bool {
	r := s.requestOf(f, arrival)
	done, err := s.submissions().TrySubmit((*sendSource)(s), r)
	if err != nil {
		s.refuseSend(refOf(r), err)
	}
	return done
}

// sendWithLookup handles a send for which something may have to be looked up:
// the sender's membership, or whether the client id is already used. It blocks.
func (s *session) sendWithLookup(ctx context.Context, f *wire.Send, arrival int64) {
	r := s.requestOf(f, arrival)
	err := s.submissions().Submit(ctx, (*sendSource)(s), r)
	var failed *submission.LookupError
	if errors.As(err, &failed) {
		if !errors.Is(err, circuitbreaker.ErrNoAnswer) { // which is logged once
			s.g.log.Error("a message could not be checked", "conversation", f.Conversation, "error", err)
		}
		err = errLookupFailed
	}
	if err != nil {
		s.refuseSend(refOf(r), err)
	}
}

// sendSource is a session as the source of submissions. It keeps their order;
// see sendOrder.
type sendSource session

// Admit implements submission.Source.
func (src *sendSource) Admit(r submission.Request) error {
	s := (*session)(src)
	switch {
	case s.mustWait(refOf(r)):
		return errOrder
	case s.g.drainCtx.Err() != nil:
		return errStopping
	case int(s.inFlight.Load()) >= s.g.cfg.InFlight:
		return errInFlight
	}
	return nil
}

// Publish implements submission.Source. It checks the order again and publishes
// under one lock: an earlier message may have been refused since this one was
// admitted, by the broker or during a look-up.
func (src *sendSource) Publish(p broker.Publisher, r submission.Request) error {
	s := (*session)(src)
	r.ReceivedAt = time.Now()
	s.heartbeat.activeAt.Store(r.ReceivedAt.UnixMilli())
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	ref := refOf(r)
	ref.arrival = s.order.arrivalOf(ref.conversation, ref.id, ref.arrival)
	if s.order.mustWait(ref.conversation, ref.arrival) {
		s.mu.Unlock()
		return errOrder
	}
	s.order.remove(ref.conversation, ref.id)
	s.inFlight.Add(1)
	s.g.inFlight.Add(1)
	err := p.Publish(r.Submission, func(err error) { s.confirmed(ref, err) })
	s.mu.Unlock()
	if err != nil {
		s.confirmed(ref, err)
	}
	return nil
}

// Accepted implements submission.Source.
func (src *sendSource) Accepted(r submission.Request) {
	s := (*session)(src)
	s.mu.Lock()
	s.order.remove(r.Conversation, r.ClientID)
	s.mu.Unlock()
	s.accept(r.ClientID)
}

// confirmed answers a send when the broker has confirmed or refused it.
func (s *session) confirmed(ref sendRef, err error) {
	s.inFlight.Add(-1)
	defer s.g.inFlight.Add(-1)
	if err != nil {
		s.refuseSend(ref, err)
		return
	}
	s.accept(ref.id)
}

func (s *session) accept(id chat.ClientID) {
	s.conn.SendSoon(websocket.NewFrame(wire.AppendAccepted(make([]byte, 0, 64), id)))
}

// refuseSend answers a send that failed with err.
func (s *session) refuseSend(ref sendRef, err error) {
	var retry *submission.RetryError
	var refusal *chat.Error
	switch {
	case errors.As(err, &retry):
		s.rejectRetryable(ref, retry)
	case !errors.As(err, &refusal):
		s.rejectRetryable(ref, errUnknown)
	case refusal.Code == chat.CodeOverloaded, refusal.Code == chat.CodeUnavailable:
		s.rejectRetryable(ref, &submission.RetryError{Refusal: refusal, After: retryAfter})
	default:
		s.reject(ref, refusal)
	}
}

// reject refuses a send finally.
func (s *session) reject(ref sendRef, refusal *chat.Error) {
	s.mu.Lock()
	s.order.remove(ref.conversation, ref.id)
	s.mu.Unlock()
	s.pushRejected(wire.Rejected{T: "rejected", ID: ref.id, Code: string(refusal.Code), Text: refusal.Error()})
}

// rejectRetryable refuses a send that may be retried after a time. Sends that
// arrived after it wait until it was sent again or withdrawn.
func (s *session) rejectRetryable(ref sendRef, retry *submission.RetryError) {
	s.mu.Lock()
	ref.arrival = s.order.arrivalOf(ref.conversation, ref.id, ref.arrival)
	kept := s.order.refuse(ref.conversation, ref.id, ref.arrival)
	first, _ := s.order.firstRefused(ref.conversation, ref.arrival)
	s.mu.Unlock()
	if !kept {
		// On a new connection the client sends all unanswered messages in order.
		s.conn.Close(wire.CloseGoodbye, "too many messages were refused; connect again")
		return
	}
	s.pushRejected(wire.Rejected{
		T: "rejected", ID: ref.id, Code: string(retry.Refusal.Code), Text: retry.Refusal.Text, RetryAfterMS: max(retry.After.Milliseconds(), 1), WaitsFor: first,
	})
}

// pushRejected answers a send. Under overload there is an answer like this for each
// message that cannot be taken.
func (s *session) pushRejected(f wire.Rejected) {
	s.conn.Send(websocket.NewFrame(wire.AppendRejected(make([]byte, 0, 256), &f)))
}

// withdraw ends the wait for a refused message that its client will not send
// again.
func (s *session) withdraw(f *wire.Withdraw) {
	s.mu.Lock()
	s.order.withdraw(f.ID)
	s.mu.Unlock()
	s.conn.Send(websocket.NewFrame(wire.AppendWithdrawn(make([]byte, 0, 64), f.ID)))
}

// mustWait reports whether a send must wait for an earlier one.
func (s *session) mustWait(ref sendRef) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.mustWait(ref.conversation, s.order.arrivalOf(ref.conversation, ref.id, ref.arrival))
}

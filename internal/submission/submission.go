// Package submission decides whether a message may be published, by the same
// rules in the same order whatever way it came.
//
//  1. What the broker would refuse whoever sends it, because it is overloaded
//     ([broker.Publisher].Refusing).
//  2. What the source itself limits ([Source].Admit): for a WebSocket connection
//     the unanswered sends, and the order of those that were refused.
//  3. The sender's rate limit ([Limiter]), which is one over all ways of
//     sending. A submission consumes its token before anything is looked up or
//     stored for it, so that refused submissions are limited too.
//  4. The sender's membership ([Memberships]). Only the store says that a sender
//     is not a member ([Refuser]), and only after it has looked for the same
//     submission: what was accepted once stays accepted.
//  5. The rules of the text ([chat.Submission.Check]).
//  6. Idempotency ([IdempotencyCache]): a client id belongs to one text.
//  7. The publish, through [Source].Publish.
//
// A refusal is a [*chat.Error], or a [*RetryError] when the same submission may
// be retried. The worker checks again when it stores. A submission has one final
// answer, whichever way it comes again.
package submission

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// Request is a submission with what its source needs to know of it.
type Request struct {
	chat.Submission
	// Arrival is a number that the source may give it. The service passes it
	// through.
	Arrival int64
}

// Source is what a submission came through: a WebSocket connection, or a request
// of the REST API.
type Source interface {
	// Admit returns an error if the source cannot accept the submission now. It
	// is called once, before the rate limit. It does not block.
	Admit(r Request) error
	// Publish publishes the submission on p, or returns why the source does
	// not. It is called last, at most once. It does not block.
	Publish(p broker.Publisher, r Request) error
	// Accepted answers that the submission was accepted before, and stored. It
	// is called instead of Publish, at most once. It does not block.
	Accepted(r Request)
}

// Memberships is who is a member of which conversation.
type Memberships interface {
	// IsCachedMember reports whether user is a member, if that is cached. The
	// cache may be stale. It does not block.
	IsCachedMember(user chat.UserID, conversation chat.ConversationID) (member, cached bool)
	// IsMember reports whether user is a member. It may block, and may be
	// answered from the cache. A conversation that does not exist has no
	// members; that is no error.
	IsMember(ctx context.Context, user chat.UserID, conversation chat.ConversationID) (bool, error)
}

// Limiter is the rate limit of each user's messages; see package throttle.
type Limiter interface {
	// Take takes one token, or returns how long to wait before the next try.
	// It may ask a server.
	Take(ctx context.Context, user string) (wait time.Duration, err error)
	// Acquire returns the user's token bucket, which never blocks.
	Acquire(user string) *throttle.Bucket
}

// RetryError is a refusal of a submission that may be retried after a time.
type RetryError struct {
	Refusal *chat.Error
	After   time.Duration
}

func (e *RetryError) Error() string { return e.Refusal.Error() }

// Unwrap returns the refusal.
func (e *RetryError) Unwrap() error { return e.Refusal }

// LookupError is an error of a look-up. The submission was not published.
type LookupError struct {
	What string
	Err  error
}

func (e *LookupError) Error() string {
	return fmt.Sprintf("%s could not be looked up: %v", e.What, e.Err)
}

// Unwrap returns the cause.
func (e *LookupError) Unwrap() error { return e.Err }

var (
	errTooFast = chat.Refuse(chat.CodeRateLimited, "", "you send too fast")
	// errIDOnItsWay is for a client id that was seen with another text about
	// which nothing is decided yet.
	errIDOnItsWay = &RetryError{
		Refusal: chat.Refuse(chat.CodeUnavailable, "id", "another message under this id is on its way; send this one again"),
		After:   500 * time.Millisecond,
	}
)

// Config has the dependencies of a service.
type Config struct {
	Publisher   broker.Publisher
	Memberships Memberships
	// SendLimiter is shared by all services of a process.
	SendLimiter Limiter
	// Refuser is shared by all services of a process.
	Refuser *Refuser
	// Idempotency is shared by all services of a process. It is nil with a
	// broker that confirms only what the store has accepted.
	Idempotency *IdempotencyCache
}

// Service applies the rules. There is one for each kind of source. It is safe
// for concurrent use.
type Service struct{ cfg Config }

// New returns a service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// Submit publishes a submission of a user who is not connected. It may block.
// It always looks up the client id unless it is cached: the user could not be
// told of a conflict that the worker finds later.
func (s *Service) Submit(ctx context.Context, src Source, r Request) error {
	if err := s.cfg.Publisher.Refusing(); err != nil {
		return err
	}
	if err := src.Admit(r); err != nil {
		return err
	}
	wait, err := s.cfg.SendLimiter.Take(ctx, r.Sender.String())
	if err != nil {
		return err
	}
	if wait > 0 {
		return &RetryError{Refusal: errTooFast, After: wait}
	}
	return s.lookUpAndPublish(ctx, src, r, true)
}

// Sender publishes the submissions of one user who is connected.
type Sender struct {
	service *Service
	bucket  *throttle.Bucket
}

// NewSender returns a sender for a user. Close it when the connection closes.
func (s *Service) NewSender(user chat.UserID) *Sender {
	return &Sender{service: s, bucket: s.cfg.SendLimiter.Acquire(user.String())}
}

// Close releases what the sender holds.
func (s *Sender) Close() { s.bucket.Release() }

// TrySubmit publishes a submission if no look-up is needed. If one is, it
// returns false and has done nothing. It does not block.
func (s *Sender) TrySubmit(src Source, r Request) (done bool, err error) {
	member, cached := s.service.cfg.Memberships.IsCachedMember(r.Sender, r.Conversation)
	if !cached || !member {
		return false, nil // only the store says no
	}
	if c := s.service.cfg.Idempotency; c != nil && c.check(&r.Submission) != idFree {
		return false, nil
	}
	if err := s.admit(src, r); err != nil {
		return true, err
	}
	if err := r.Check(); err != nil {
		return true, err
	}
	return true, s.service.publish(src, r)
}

// Submit publishes a submission. It may block.
func (s *Sender) Submit(ctx context.Context, src Source, r Request) error {
	if err := s.admit(src, r); err != nil {
		return err
	}
	return s.service.lookUpAndPublish(ctx, src, r, false)
}

func (s *Sender) admit(src Source, r Request) error {
	if err := s.service.cfg.Publisher.Refusing(); err != nil {
		return err
	}
	if err := src.Admit(r); err != nil {
		return err
	}
	if wait := s.bucket.Take(); wait > 0 {
		return &RetryError{Refusal: errTooFast, After: wait}
	}
	return nil
}

// lookUpAndPublish publishes an admitted submission after the look-ups that it
// needs. always is that of [IdempotencyCache.find].
func (s *Service) lookUpAndPublish(ctx context.Context, src Source, r Request, always bool) error {
	member, err := s.cfg.Memberships.IsMember(ctx, r.Sender, r.Conversation)
	if err != nil {
		return &LookupError{"the sender's membership", err}
	}
	if !member {
		out, err := s.cfg.Refuser.find(ctx, &r.Submission)
		if err != nil {
			return &LookupError{"the sender's membership", err}
		}
		if done, err := answered(out, src, r); done {
			return err
		}
		// The sender is a member: what was cached is stale.
	}
	if err := r.Check(); err != nil {
		return err
	}
	if s.cfg.Idempotency != nil {
		out, err := s.cfg.Idempotency.find(ctx, &r.Submission, always)
		if err != nil {
			return err
		}
		if done, err := answered(out, src, r); done {
			return err
		}
	}
	return s.publish(src, r)
}

// answered answers a submission about which the store has decided, and reports
// whether it has.
func answered(out chat.Outcome, src Source, r Request) (done bool, err error) {
	switch {
	case out.Refusal != nil:
		return true, out.Refusal
	case out.Verdict == chat.Duplicate:
		src.Accepted(r)
		return true, nil
	}
	return false, nil
}

// publish reserves the client id of a checked submission, and publishes it.
func (s *Service) publish(src Source, r Request) error {
	if c := s.cfg.Idempotency; c != nil && c.reserve(&r.Submission) == idConflict {
		return errIDOnItsWay
	}
	return src.Publish(s.cfg.Publisher, r)
}

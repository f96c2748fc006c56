// Package submission takes messages in, by whatever way they come: it decides
// whether one may go to the broker, by the same rules in the same order.
//
//  1. What the way itself bounds ([Source].Admit): on a socket the sends
//     without an answer, and the order of those that were refused.
//  2. The sender's limit ([Limiter]), which holds over all ways. A submission
//     costs its sender a turn before anything is looked up or remembered for
//     it; so what is sent in vain is bounded like the rest.
//  3. The sender's membership ([Memberships]).
//  4. The text's rules ([chat.Submission.Check]).
//  5. Idempotency ([IdempotencyCache]): a client id stands for one text.
//  6. The publish, by way of [Source].Publish.
//
// What is refused here is refused with a [chat.Error], or with a [RetryError]
// when the same may come again. The worker decides again when it stores.
package submission

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// Request is a submission and what is particular to its way in.
type Request struct {
	chat.Submission
	// Arrival is a number that the source gave it. The service only hands it
	// back.
	Arrival int64
}

// Source is the way by which a submission came: a socket, or a request.
type Source interface {
	// Admit refuses what the source cannot take now. It is called once, before
	// the submission costs its sender anything. It does not block.
	Admit(r Request) error
	// Publish hands the submission to p, as the last step, unless the source
	// has a reason not to. It does not block.
	Publish(p broker.Publisher, r Request) error
}

// Memberships knows who is in which conversation.
type Memberships interface {
	// CachedMember tells whether user is a member as far as memory knows, which
	// it may not. It does not block.
	CachedMember(user chat.UserID, conversation chat.ConversationID) (member, known bool)
	// IsMember is CachedMember that looks up what memory does not know. Nobody
	// is a member of a conversation that does not exist.
	IsMember(ctx context.Context, user chat.UserID, conversation chat.ConversationID) (bool, error)
}

// Limiter bounds how much each user may send, by all ways together; see package
// throttle.
type Limiter interface {
	// Take takes one turn, or tells how long to wait before the next try. It
	// may wait for a server.
	Take(ctx context.Context, user string) (wait time.Duration, err error)
	// Acquire returns the user's bucket, for those who must not wait.
	Acquire(user string) *throttle.Bucket
}

// RetryError is a refusal for now: the same may come again after a while.
type RetryError struct {
	Refusal *chat.Error
	After   time.Duration
}

func (e *RetryError) Error() string { return e.Refusal.Error() }

// Unwrap returns the refusal.
func (e *RetryError) Unwrap() error { return e.Refusal }

var (
	errTooFast = chat.Refuse(chat.CodeRateLimited, "", "you send too fast")
	errIDTaken = chat.Refuse(chat.CodeConflict, "id", "another message was sent under this id")
)

// Config is what a service works with.
type Config struct {
	Publisher   broker.Publisher
	Limiter     Limiter // shared by all services of a process
	Memberships Memberships
	// IDs is nil with a broker that knows the verdict before it confirms. It
	// is shared by all services of a process.
	IDs *IdempotencyCache
}

// Service applies the rules for one kind of source. It is safe for concurrent
// use.
type Service struct{ cfg Config }

// New makes a service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// Submit takes in what a user sends now and then. It may wait, also for servers
// that know exactly: a sender who is not connected would not hear of a refusal
// that comes later. It returns what Publish of the source returned.
func (s *Service) Submit(ctx context.Context, src Source, r Request) error {
	if err := src.Admit(r); err != nil {
		return err
	}
	wait, err := s.cfg.Limiter.Take(ctx, r.Sender.String())
	if err != nil {
		return err
	}
	if wait > 0 {
		return &RetryError{Refusal: errTooFast, After: wait}
	}
	return s.lookUpAndPublish(ctx, src, r, true)
}

// Sender takes in what one user sends through a connection. Its limit never
// waits for a server.
type Sender struct {
	service *Service
	bucket  *throttle.Bucket
}

// NewSender makes the sender of a user. Close it when the connection closes.
func (s *Service) NewSender(user chat.UserID) *Sender {
	return &Sender{service: s, bucket: s.cfg.Limiter.Acquire(user.String())}
}

// Close releases the sender's part of the limit.
func (s *Sender) Close() { s.bucket.Release() }

// TrySubmit takes a submission in if that needs nothing but memory, and reports
// whether it does; if not, nothing was done. It does not block.
func (s *Sender) TrySubmit(src Source, r Request) (done bool, err error) {
	member, known := s.service.cfg.Memberships.CachedMember(r.Sender, r.Conversation)
	if !known {
		return false, nil
	}
	id := idFree
	if ids := s.service.cfg.IDs; ids != nil {
		if id = ids.cached(&r.Submission); id == idUnknown {
			return false, nil
		}
	}
	if err := s.admit(src, r); err != nil {
		return true, err
	}
	if err := check(&r.Submission, member); err != nil {
		return true, err
	}
	return true, s.service.publish(src, r, id)
}

// Submit is TrySubmit that looks up what memory does not know.
func (s *Sender) Submit(ctx context.Context, src Source, r Request) error {
	if err := s.admit(src, r); err != nil {
		return err
	}
	return s.service.lookUpAndPublish(ctx, src, r, false)
}

func (s *Sender) admit(src Source, r Request) error {
	if err := src.Admit(r); err != nil {
		return err
	}
	if wait := s.bucket.Take(); wait > 0 {
		return &RetryError{Refusal: errTooFast, After: wait}
	}
	return nil
}

// LookUpError says that the service could not find out whether a submission may
// be published. It was not.
type LookUpError struct {
	What string
	Err  error
}

func (e *LookUpError) Error() string {
	return fmt.Sprintf("%s could not be looked up: %v", e.What, e.Err)
}

// Unwrap returns the cause.
func (e *LookUpError) Unwrap() error { return e.Err }

// lookUpAndPublish decides about an admitted submission by what it looks up.
// certain has a client id looked up also when it is so new that memory would
// most likely know it.
func (s *Service) lookUpAndPublish(ctx context.Context, src Source, r Request, certain bool) error {
	member, err := s.cfg.Memberships.IsMember(ctx, r.Sender, r.Conversation)
	if err != nil {
		return &LookUpError{"the membership of a sender", err}
	}
	if err := check(&r.Submission, member); err != nil {
		return err
	}
	id := idFree
	if s.cfg.IDs != nil {
		if id, err = s.cfg.IDs.find(ctx, &r.Submission, certain); err != nil {
			return &LookUpError{"the client id of a message", err}
		}
	}
	return s.publish(src, r, id)
}

// check tells whether a submission could be stored by what it says itself.
func check(s *chat.Submission, member bool) error {
	if !member {
		return chat.NotFound("conversation")
	}
	return s.Check()
}

// publish gives a checked submission its client id and publishes it.
func (s *Service) publish(src Source, r Request, id idState) error {
	if ids := s.cfg.IDs; ids != nil && (id == idTaken || ids.take(&r.Submission) == idTaken) {
		return errIDTaken
	}
	return src.Publish(s.cfg.Publisher, r)
}

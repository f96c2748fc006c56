package submission

import (
	"context"
	"log/slog"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
)

// RefusalStore decides finally about submissions of non-members; see
// store.Messages.
type RefusalStore interface {
	RefuseNonMembers(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error)
}

// Refuser decides about submissions whose senders seem not to be members. A cache
// that says so may be stale, and the same submission may have been accepted
// before its sender was removed, stored or still on its way to the worker. So the
// store decides, and keeps a refusal that is final: the worker, and every other
// gateway, then refuses the submission as well.
//
// It costs a transaction, for which the sender has paid with a token of the rate
// limit; submissions that gather while one runs are decided in the next. It is
// safe for concurrent use.
type Refuser struct {
	store   RefusalStore
	breaker *circuitbreaker.Breaker
	waiting *batching.Queue[*refusal]
}

type refusal struct {
	submission chat.Submission
	done       chan struct{} // closed when the rest is set
	outcome    chat.Outcome
	err        error
}

const (
	// maxRefusalBatch is the maximum number of submissions of one transaction.
	maxRefusalBatch = 500
	// refusalTimeout limits how long a transaction may take.
	refusalTimeout = 10 * time.Second
)

// NewRefuser returns a refuser. Run must run.
func NewRefuser(s RefusalStore, log *slog.Logger) *Refuser {
	return &Refuser{
		store: s, breaker: circuitbreaker.New(log, "non-members cannot be refused; their messages are refused for now", "non-members can be refused again"),
		waiting: batching.NewQueue[*refusal](),
	}
}

// Run decides in batches until ctx ends.
func (r *Refuser) Run(ctx context.Context) { r.waiting.Run(ctx, maxRefusalBatch, r.decide) }

func (r *Refuser) decide(ctx context.Context, batch []*refusal) {
	submissions := make([]chat.Submission, len(batch))
	for i := range batch {
		submissions[i] = batch[i].submission
	}
	bounded, cancel := context.WithTimeout(ctx, refusalTimeout)
	defer cancel()
	outcomes, err := r.store.RefuseNonMembers(bounded, submissions)
	if ctx.Err() == nil { // otherwise the process stops
		r.breaker.Record(time.Now(), err)
	}
	for i, one := range batch {
		if one.err = err; err == nil {
			one.outcome = outcomes[i]
		}
		close(one.done)
	}
}

// find returns what the store decides about a submission. It blocks until the
// store answers or ctx ends, and not for long when the store answers nobody.
func (r *Refuser) find(ctx context.Context, s *chat.Submission) (chat.Outcome, error) {
	one := &refusal{submission: *s, done: make(chan struct{})}
	err := r.breaker.Await(ctx, storePatience, func() <-chan struct{} {
		r.waiting.Add(one)
		return one.done
	})
	if err != nil {
		return chat.Outcome{}, err
	}
	return one.outcome, one.err
}

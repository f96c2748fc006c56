// Package worker stores the messages that the broker delivers: commit, then
// announce, then acknowledge. All of it is idempotent. Refusals are committed as
// well: whoever receives the same message once more, now or after this worker has
// lost its partition, announces the same.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Appender stores batches of messages; see store.Messages.
type Appender interface {
	Append(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error)
	Refuse(ctx context.Context, s chat.Submission, refusal *chat.Error) (chat.Outcome, error)
}

// Announcer announces outcomes to users; see package fanout.
type Announcer interface {
	Stored(ctx context.Context, outcomes []chat.Outcome, redelivered func(i int) bool)
	Failed(ctx context.Context, s *chat.Submission, refusal *chat.Error)
}

// Worker stores messages. See [New].
type Worker struct {
	store     Appender
	announcer Announcer
	log       *slog.Logger
	handled   batching.Meter
}

// New returns a worker.
func New(store Appender, announcer Announcer, log *slog.Logger) *Worker {
	return &Worker{store: store, announcer: announcer, log: log}
}

// Run consumes messages until ctx ends. It returns the consumer's error.
func (w *Worker) Run(ctx context.Context, consumer broker.Consumer) error {
	return consumer.Consume(ctx, w.Handle)
}

// Handled returns how many batches were stored, each with one call to the store
// unless a message in it is poison, and how many messages were in them.
func (w *Worker) Handled() (batches, messages uint64) { return w.handled.Totals() }

// Handle is the worker's [broker.Handler]: it stores a batch and returns the
// refusal of each message, nil for those that are stored.
func (w *Worker) Handle(ctx context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
	// A batch is finished even when ctx ends: half a second more now saves a
	// redelivery.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	submissions := make([]chat.Submission, len(batch))
	for i := range batch {
		submissions[i] = batch[i].Submission
	}
	outcomes, err := w.append(ctx, submissions)
	if err != nil {
		return nil, fmt.Errorf("store %d messages: %w", len(batch), err)
	}
	w.handled.Count(len(batch))
	w.announcer.Stored(ctx, outcomes, func(i int) bool { return batch[i].Redelivered })
	verdicts := make([]*chat.Error, len(batch))
	for i := range outcomes {
		refusal := outcomes[i].Refusal
		if refusal == nil {
			continue
		}
		verdicts[i] = refusal
		if batch[i].Confirmed && !chat.Undecided(refusal) {
			w.log.WarnContext(ctx, "an accepted message cannot be stored",
				"sender", batch[i].Sender, "conversation", batch[i].Conversation, "id", batch[i].ClientID, "reason", refusal)
			w.announcer.Failed(ctx, &batch[i].Submission, refusal)
		}
	}
	return verdicts, nil
}

// batchTimeout is how long a batch may take. A batch that hangs is canceled and
// redelivered: a worker that is alive but stuck would be as bad as a dead one.
const batchTimeout = 10 * time.Second

// append stores a batch. When the store reports a poison message, the batch is
// halved until that message is alone; it is refused and the others are stored,
// in their order. Any other error is not caused by a message: the batch is
// redelivered.
func (w *Worker) append(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error) {
	outcomes, err := w.tryAppend(ctx, batch)
	if err == nil || !errors.Is(err, store.ErrPoison) {
		return outcomes, err
	}
	if len(batch) == 1 {
		w.log.ErrorContext(ctx, "a message can never be stored", "sender", batch[0].Sender, "conversation", batch[0].Conversation, "id", batch[0].ClientID, "error", err)
		return w.refusePoison(ctx, batch[0])
	}
	half := len(batch) / 2
	first, err := w.append(ctx, batch[:half])
	if err != nil {
		return nil, err
	}
	// What is behind something that is undecided must not overtake it.
	undecided := map[chat.ConversationID]*chat.Error{}
	for i := range first {
		if chat.Undecided(first[i].Refusal) {
			undecided[batch[i].Conversation] = first[i].Refusal
		}
	}
	rest := slices.DeleteFunc(slices.Clone(batch[half:]), func(s chat.Submission) bool { return undecided[s.Conversation] != nil })
	if len(rest) > 0 {
		if outcomes, err = w.append(ctx, rest); err != nil {
			return nil, err
		}
	}
	for i := range batch[half:] {
		if refusal := undecided[batch[half+i].Conversation]; refusal != nil {
			first = append(first, chat.Outcome{Refusal: refusal})
			continue
		}
		first = append(first, outcomes[0])
		outcomes = outcomes[1:]
	}
	return first, nil
}

// refusePoison stores that a message can never be stored.
func (w *Worker) refusePoison(ctx context.Context, s chat.Submission) ([]chat.Outcome, error) {
	refusal := chat.Refuse(chat.CodeInvalid, "", "the message cannot be stored")
	outcome, err := w.store.Refuse(ctx, s, refusal)
	if errors.Is(err, store.ErrPoison) {
		// It is the same for whoever receives it next.
		return []chat.Outcome{{Refusal: refusal}}, nil
	}
	return []chat.Outcome{outcome}, err
}

// tryAppend stores a batch. A panic is treated as caused by a poison message:
// otherwise one message could crash every worker in turn.
func (w *Worker) tryAppend(ctx context.Context, batch []chat.Submission) (outcomes []chat.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", store.ErrPoison, p, debug.Stack())
		}
	}()
	return w.store.Append(ctx, batch)
}

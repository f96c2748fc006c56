// Package worker stores what the broker hands it: commit, then announce, then
// acknowledge. Everything it does may happen twice without harm.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Appender stores batches of messages; see store.Messages.
type Appender interface {
	Append(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error)
}

// Announcer tells people what happened.
type Announcer interface {
	Stored(ctx context.Context, outcomes []chat.Outcome, redelivered func(i int) bool)
	Failed(ctx context.Context, s *chat.Submission, refusal *chat.Error)
}

// Worker stores messages. See [New].
type Worker struct {
	store     Appender
	announcer Announcer
	log       *slog.Logger
}

// New makes a worker.
func New(store Appender, announce Announcer, log *slog.Logger) *Worker {
	return &Worker{store: store, announcer: announce, log: log}
}

// Run consumes until ctx ends.
func (w *Worker) Run(ctx context.Context, consumer broker.Consumer) error {
	return consumer.Consume(ctx, w.Handle)
}

// Handle is the worker's [broker.Handler].
func (w *Worker) Handle(ctx context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
	// A batch in work is finished also when the worker is told to stop: half
	// a second more now saves a redelivery.
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
	w.announcer.Stored(ctx, outcomes, func(i int) bool { return batch[i].Redelivered })
	verdicts := make([]*chat.Error, len(batch))
	for i := range outcomes {
		refusal := outcomes[i].Refusal
		if refusal == nil {
			continue
		}
		verdicts[i] = refusal
		if batch[i].Confirmed {
			w.log.WarnContext(ctx, "an accepted message cannot be stored",
				"sender", batch[i].Sender, "conversation", batch[i].Conversation, "id", batch[i].ClientID, "reason", refusal)
			w.announcer.Failed(ctx, &batch[i].Submission, refusal)
		}
	}
	return verdicts, nil
}

// batchTimeout is how long a batch may take. One that hangs is given up and tried
// again: a worker that is alive but stuck would be as bad as a dead one.
const batchTimeout = 30 * time.Second

// append stores a batch. One that the store can never keep is halved until the
// message that causes it stands alone; that one is refused and the others are
// stored, in their order. Trouble of any other kind is not a message's fault:
// the batch comes again.
func (w *Worker) append(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error) {
	outcomes, err := w.tryAppend(ctx, batch)
	if err == nil || !errors.Is(err, store.ErrPoison) {
		return outcomes, err
	}
	if len(batch) == 1 {
		w.log.ErrorContext(ctx, "a message can never be stored", "sender", batch[0].Sender, "conversation", batch[0].Conversation, "id", batch[0].ClientID, "error", err)
		return []chat.Outcome{{Refusal: chat.Refuse(chat.CodeInvalid, "", "the message cannot be stored")}}, nil
	}
	half := len(batch) / 2
	first, err := w.append(ctx, batch[:half])
	if err != nil {
		return nil, err
	}
	second, err := w.append(ctx, batch[half:])
	return append(first, second...), err
}

// tryAppend stores a batch. A panic on the way is taken for the fault of a message:
// one that could end every worker in turn must not.
func (w *Worker) tryAppend(ctx context.Context, batch []chat.Submission) (outcomes []chat.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", store.ErrPoison, p, debug.Stack())
		}
	}()
	return w.store.Append(ctx, batch)
}

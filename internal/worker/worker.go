// Package worker stores what the broker hands it: commit, then announce, then
// acknowledge. Everything it does may happen twice without harm.
package worker

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
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
	store    Appender
	announce Announcer
	log      *slog.Logger
}

// New makes a worker.
func New(store Appender, announce Announcer, log *slog.Logger) *Worker {
	return &Worker{store: store, announce: announce, log: log}
}

// Run consumes until ctx ends.
func (w *Worker) Run(ctx context.Context, consumer broker.Consumer) error {
	return consumer.Consume(ctx, w.Handle)
}

// Handle is the worker's [broker.Handler].
func (w *Worker) Handle(ctx context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
	// A batch in work is finished also when the worker is told to stop: half
	// a second more now saves a redelivery.
	ctx = context.WithoutCancel(ctx)
	submissions := make([]chat.Submission, len(batch))
	for i := range batch {
		submissions[i] = batch[i].Submission
	}
	outcomes, err := w.store.Append(ctx, submissions)
	if err != nil {
		return nil, fmt.Errorf("store %d messages: %w", len(batch), err)
	}
	w.announce.Stored(ctx, outcomes, func(i int) bool { return batch[i].Redelivered })
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
			w.announce.Failed(ctx, &batch[i].Submission, refusal)
		}
	}
	return verdicts, nil
}

// Package broker is the port between those who take messages in (gateways,
// the API) and the workers that store them. The embedded broker lives in the
// process; RabbitMQ serves a cluster. Both pass package brokertest.
//
// # The promises of a broker
//
//   - Kept: after confirm(nil) the submission survives the death of any
//     process, and is handled until a handler has said what became of it (G1).
//   - At least once: a submission may be handled again, after a crash for
//     example; handlers are idempotent.
//   - One order: submissions of one conversation are handled in the order in
//     which Publish was called for them by one publisher, by one handler at a
//     time in the whole installation (G3).
//   - Bounded: Publish never blocks and never queues without limit; what
//     cannot be taken is refused with a chat.Error of CodeOverloaded or
//     CodeUnavailable, and was not taken (G6).
//   - Concurrent: all methods may be called by any number of goroutines.
package broker

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Publisher takes messages in.
type Publisher interface {
	// Publish hands s on and returns at once. When it returns nil, confirm is
	// called exactly once, later, from a goroutine of the broker that it must
	// not block: with nil when s is kept; with a *chat.Error when s was
	// refused for good, by a broker that knows the verdict before it confirms;
	// with another error when it is unknown whether s is kept, so that the
	// sender must send it again. When Publish returns an error, s was not
	// taken and confirm is never called.
	Publish(s chat.Submission, confirm func(error)) error
}

// Delivery is a submission for a worker.
type Delivery struct {
	chat.Submission
	// Confirmed tells that its sender may have been told "accepted". A
	// refusal must then reach the author as a failed frame.
	Confirmed bool
	// Redelivered tells that it may have been handled before.
	Redelivered bool
}

// Handler stores a batch, in its order. verdicts has one entry for each
// delivery: nil when it is stored (now or before), a refusal when it never can
// be; the broker keeps refused ones that were confirmed as dead letters. An
// error means that nothing was done and the batch must come again.
type Handler func(ctx context.Context, batch []Delivery) (verdicts []*chat.Error, err error)

// Consumer feeds workers.
type Consumer interface {
	// Consume calls handle until ctx ends, then waits for the calls in flight
	// and returns nil. Calls for different conversations may be concurrent.
	// It outlives a broker that goes away; it returns an error only when it
	// can never work.
	Consume(ctx context.Context, handle Handler) error
}

// Broker is both sides.
type Broker interface {
	Publisher
	Consumer
	// Ready tells whether the broker is there and does its work. It may
	// still refuse a Publish, because it is full for the moment.
	Ready(ctx context.Context) error
	// Close refuses new submissions, waits until those taken are confirmed or
	// ctx ends, and stops. It is idempotent.
	Close(ctx context.Context) error
}

// Package broker is the port between the processes that accept messages
// (gateways, the API) and the workers that store them. The embedded broker lives
// in the process; RabbitMQ serves a cluster. Both pass package brokertest.
//
// # Contract
//
//   - Durability: after confirm(nil) the submission survives the death of any
//     process, and is delivered until a handler has returned a verdict (G1).
//   - At least once: a submission may be delivered again, for example after a
//     crash; handlers are idempotent.
//   - Order: submissions of one conversation are handled in the order in which
//     one publisher called Publish for them, by one handler at a time in the
//     whole installation (G3).
//   - Isolation: what cannot be handled now is tried again until it can, and holds
//     up nothing but what is behind it in its conversation, as long as there is
//     room for what waits.
//   - Bounds: Publish never blocks and never queues without limit. What the
//     broker cannot accept is refused with a chat.Error of CodeOverloaded or
//     CodeUnavailable, and is not queued (G6).
//   - Concurrency: all methods are safe for concurrent use.
package broker

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Publisher accepts submissions.
type Publisher interface {
	// Publish queues s and returns at once. When it returns nil, confirm is called
	// exactly once, later, by a goroutine of the broker that it must not block:
	// with nil when s is durable; with a *chat.Error when s was refused
	// permanently, by a broker that knows the verdict before it confirms; with
	// another error when it is unknown whether s is durable, so that the sender
	// must send it again. When Publish returns an error, s was not queued and
	// confirm is never called.
	Publish(s chat.Submission, confirm func(error)) error
	// Refusing returns the refusal that Publish gives to whatever comes now, or nil.
	// It costs next to nothing and does not block: who asks before the work that a
	// publish takes refuses at little cost what would be refused after it. What Publish
	// does a moment later may differ.
	Refusing() error
}

// Delivery is a submission that a worker handles.
type Delivery struct {
	chat.Submission
	// Confirmed reports whether its sender may have been told "accepted". Then a
	// refusal must reach the author as a failed frame.
	Confirmed bool
	// Redelivered reports whether it may have been handled before.
	Redelivered bool
}

// Handler stores a batch, in its order. verdicts has one entry for each delivery:
// nil when it is stored (now or before), a refusal when it can never be stored.
// The broker keeps refused deliveries that were confirmed as dead letters. A
// refusal that leaves a delivery undecided (chat.Undecided) holds for all that are
// behind it in its conversation, too: they are delivered again, while others go
// on. An error means that nothing was decided and the batch must be delivered
// again.
type Handler func(ctx context.Context, batch []Delivery) (verdicts []*chat.Error, err error)

// Consumer delivers submissions to workers.
type Consumer interface {
	// Consume calls handle until ctx ends, then waits for the calls in progress
	// and returns nil. Calls for different conversations may be concurrent. It
	// reconnects to a broker that becomes unavailable; it returns an error only
	// when it can never work.
	Consume(ctx context.Context, handle Handler) error
}

// Broker is the whole port.
type Broker interface {
	Publisher
	Consumer
	// Ready returns nil when the broker is reachable and works. It may still
	// refuse a Publish, because it is full at the moment.
	Ready(ctx context.Context) error
	// Close refuses new submissions, waits until the queued ones are confirmed or
	// ctx ends, and stops. It is idempotent.
	Close(ctx context.Context) error
}

package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// newTestBatcher is a batcher without a server.
func newTestBatcher(t *testing.T, handle broker.Handler) *batcher {
	t.Helper()
	return newBatcher(batcherConfig{Handle: handle, Window: newWindow(1, 1), MaxBatch: 500, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

// deliver adds a delivery, as a subscription does.
func deliver(b *batcher, ch *amqp.Channel, tag uint64, body string) {
	s := chat.Submission{Sender: 1, Conversation: 1, ReceivedAt: time.Now(), Body: body}
	b.add(ch, amqp.Delivery{DeliveryTag: tag, Body: appendSubmission(beginBatch(nil), &s)})
}

// A worker that is stopped while a batch fails handles nothing that came after
// it: an acknowledgement of that would cover the batch as well.
func TestStoppedBatcherTakesNothingMore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ch := new(amqp.Channel)
	var b *batcher
	calls := 0
	b = newTestBatcher(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		if calls++; calls == 1 {
			deliver(b, ch, 2, "the next")
			cancel()
			return nil, errors.New("the store is unavailable")
		}
		t.Errorf("%q is handled after the one before it was abandoned", batch[0].Body)
		return make([]*chat.Error, len(batch)), nil
	})
	deliver(b, ch, 1, "the first")
	b.run(ctx)
	deliver(b, ch, 3, "a late one")
	if calls != 1 || b.hasWaiting() || len(b.unacked) != 0 {
		t.Errorf("%d calls, something waits: %v, to be acknowledged: %v", calls, b.hasWaiting(), b.unacked)
	}
	b.forget(ch)
	if len(b.rejected) != 0 {
		t.Error("the channel is remembered for ever")
	}
}

// The channels of abandoned items are rejected, also when the batcher continues.
func TestNothingIsHandledAfterAbandonedItems(t *testing.T) {
	b := newTestBatcher(t, nil)
	one, other := new(amqp.Channel), new(amqp.Channel)
	deliver(b, one, 1, "a")
	items := b.take(1)
	deliver(b, one, 2, "b")
	deliver(b, other, 1, "c")
	b.abandon(items)
	b.finishBatch()
	deliver(b, one, 3, "d")
	taken := b.take(100)
	if len(taken) != 1 || taken[0].ch != other {
		t.Errorf("%d items are taken, want only the other channel's", len(taken))
	}
}

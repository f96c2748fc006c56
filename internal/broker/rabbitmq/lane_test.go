package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// testLane is a lane without a broker, for one call of handle at a time.
func testLane(t *testing.T, handle broker.Handler) *lane {
	t.Helper()
	b := &Broker{cfg: Config{}.WithDefaults(), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	c := &consumer{b: b, handle: handle, window: newWindow(1, 1)}
	return &lane{c: c, wake: batching.NewSignal()}
}

// come puts a delivery into a lane, as a subscription does.
func come(l *lane, ch *amqp.Channel, tag uint64, body string) {
	s := chat.Submission{Sender: 1, Conversation: 1, ReceivedAt: time.Now(), Body: body}
	l.put(item{ch: ch, delivery: amqp.Delivery{DeliveryTag: tag, Body: appendSubmission(beginBatch(nil), &s)}})
}

// A worker that is told to stop while a batch fails handles nothing that came
// behind it: an acknowledgement of that would cover the batch as well.
func TestALaneThatStopsTakesNothingMore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ch := new(amqp.Channel)
	var l *lane
	calls := 0
	l = testLane(t, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
		if calls++; calls == 1 {
			come(l, ch, 2, "the next")
			cancel()
			return nil, errors.New("the store is away")
		}
		t.Errorf("%q is handled after the one before it was given up", batch[0].Body)
		return make([]*chat.Error, len(batch)), nil
	})
	come(l, ch, 1, "the first")
	l.run(ctx)
	come(l, ch, 3, "a late one")
	if calls != 1 || l.any() || len(l.done) != 0 {
		t.Errorf("%d calls, something waits: %v, to be acknowledged: %v", calls, l.any(), l.done)
	}
	l.forget(ch)
	if len(l.dropped) != 0 {
		t.Error("the channel is remembered for ever")
	}
}

// Whatever a lane gave up ends its channel, also should the lane go on.
func TestNothingIsHandledBehindWhatWasGivenUp(t *testing.T) {
	l := testLane(t, nil)
	one, other := new(amqp.Channel), new(amqp.Channel)
	come(l, one, 1, "a")
	items := l.take(1)
	come(l, one, 2, "b")
	come(l, other, 1, "c")
	l.giveUp(items)
	l.over()
	come(l, one, 3, "d")
	taken := l.take(100)
	if len(taken) != 1 || taken[0].ch != other {
		t.Errorf("%d items are taken; the other channel's alone was due", len(taken))
	}
}

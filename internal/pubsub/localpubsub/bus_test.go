package localpubsub_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/localpubsub"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/pubsubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	pubsubtest.Run(t, pubsubtest.Harness{
		Open: func(t *testing.T, queue int) pubsub.Bus {
			t.Helper()
			b, err := localpubsub.New(localpubsub.Config{Queue: queue})
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	})
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := localpubsub.New(localpubsub.Config{Queue: -1}); err == nil || !strings.HasPrefix(err.Error(), "bus-queue: -1 is not between 1 and ") {
		t.Errorf("a queue of -1: %v", err)
	}
}

// blocked is a subscriber that takes nothing until open is closed.
type blocked struct {
	open chan struct{}
	got  chan chat.UserID
}

func (b *blocked) Deliver(e *pubsub.Envelope) {
	<-b.open
	b.got <- e.Items[0].Push.Users[0]
}
func (b *blocked) Gap()             {}
func (b *blocked) Interrupted(bool) {}

// What is for all nodes goes before what waits for one.
func TestBroadcastsOvertake(t *testing.T) {
	b, err := localpubsub.New(localpubsub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const each = 100
	s := &blocked{open: make(chan struct{}), got: make(chan chat.UserID, 2*each)}
	cancel, err := b.Subscribe(t.Context(), "a", s)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	of := func(user chat.UserID) *pubsub.Envelope {
		return &pubsub.Envelope{Items: []pubsub.Item{{Push: &pubsub.Push{Users: []chat.UserID{user}}}}}
	}
	for range each {
		if err := b.Publish(t.Context(), "a", of(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Broadcast(t.Context(), of(2)); err != nil {
		t.Fatal(err)
	}
	close(s.open)
	// The first may have been on its way to the subscriber already.
	if first, second := <-s.got, <-s.got; first != 2 && second != 2 {
		t.Errorf("a broadcast waits behind %d and %d", first, second)
	}
}

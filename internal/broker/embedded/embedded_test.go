package embedded_test

import (
	"context"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/brokertest"
	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB, cfg embedded.Config) *embedded.Broker {
	tb.Helper()
	b, err := embedded.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestConfig(t *testing.T) {
	for _, cfg := range []embedded.Config{{Partitions: -1}, {MaxQueued: -1}, {MaxBytes: -1}, {MaxBatch: -1}, {MaxWait: -1}} {
		if _, err := embedded.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestConformance(t *testing.T) {
	brokertest.Run(t, brokertest.Harness{
		Open: func(t *testing.T, maxQueued int) broker.Broker {
			return open(t, embedded.Config{MaxQueued: maxQueued})
		},
		ConfirmsAfterHandling: true,
	})
}

func TestBytesAreBounded(t *testing.T) {
	b := open(t, embedded.Config{MaxBytes: 1000})
	ok := func(error) {}
	if err := b.Publish(chat.Submission{Conversation: 1, Body: string(make([]byte, 900))}, ok); err != nil {
		t.Fatal(err)
	}
	err := b.Publish(chat.Submission{Conversation: 1, Body: string(make([]byte, 200))}, ok)
	if chat.CodeOf(err) != chat.CodeOverloaded {
		t.Errorf("got %v, want %s", err, chat.CodeOverloaded)
	}
	if err := b.Publish(chat.Submission{Conversation: 1, Body: "small"}, ok); err != nil {
		t.Errorf("a refused publish left its bytes behind: %v", err)
	}
}

// Who asks first is told what Publish would answer.
func TestFullBrokerSaysSo(t *testing.T) {
	ok := func(error) {}
	for name, cfg := range map[string]embedded.Config{"submissions": {MaxQueued: 10}, "bytes": {MaxBytes: 50}} {
		b := open(t, cfg)
		for n := range 10 {
			if err := b.Refusing(); err != nil {
				t.Errorf("%s: with %d in wait it refuses: %v", name, n, err)
			}
			if err := b.Publish(chat.Submission{Conversation: 1, Body: "hello"}, ok); err != nil {
				t.Fatal(err)
			}
		}
		said, answered := b.Refusing(), b.Publish(chat.Submission{Conversation: 1, Body: "hello"}, ok)
		if chat.CodeOf(said) != chat.CodeOverloaded || chat.CodeOf(answered) != chat.CodeOverloaded {
			t.Errorf("%s: it says %v, and answers %v", name, said, answered)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	br := open(b, embedded.Config{MaxQueued: 1 << 30})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- br.Consume(ctx, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			return make([]*chat.Error, len(batch)), nil
		})
	}()
	var confirmed atomic.Int64
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if err := br.Publish(chat.Submission{Conversation: chat.ConversationID(n), Body: "hello"}, func(error) { confirmed.Add(1) }); err != nil {
			b.Fatal(err)
		}
	}
	_ = br.Close(ctx)
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
	if int(confirmed.Load()) != n {
		b.Fatalf("%d of %d confirmed", confirmed.Load(), n)
	}
}

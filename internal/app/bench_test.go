package app_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// BenchmarkTalk measures the whole path with the embedded backends, including the
// load generator: pairs of users who send to each other, every message stored
// with fsync, accepted, and delivered to both. Each user keeps window messages in
// flight. Run it with a fixed count, such as -benchtime 200000x.
func BenchmarkTalk(b *testing.B) {
	for _, window := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("people=100/window=%d", window), func(b *testing.B) { benchmarkTalk(b, 100, window) })
	}
}

type talker struct {
	socket       *client.Socket
	conversation chat.ConversationID
	inFlight     chan struct{}
	latency      *hdrhistogram.Histogram // of what came from the other, in µs
	received     int
}

func benchmarkTalk(b *testing.B, people, window int) {
	cfg := testConfig(b)
	cfg.Gateway.Heartbeat, cfg.Gateway.MaxHeartbeat = time.Minute, time.Minute
	url := start(b, cfg).URL()
	startTime := time.Now()
	var delivered atomic.Int64
	all := make([]*talker, people)
	var previous *client.Client
	for i := range all {
		c := acceptance.Register(b, url, fmt.Sprintf("talker%d", i))
		t := &talker{inFlight: make(chan struct{}, window), latency: hdrhistogram.New(1, 60_000_000, 3)}
		all[i] = t
		s, err := c.Dial(b.Context(), func(f client.Frame) {
			switch f.T {
			case "accepted":
				<-t.inFlight
			case "message":
				var m struct {
					Body   string      `json:"body"`
					Sender chat.UserID `json:"sender"`
				}
				if err := f.Into(&m); err != nil {
					b.Error(err)
				}
				if m.Sender != c.Me().ID {
					var sent time.Duration
					_, _ = fmt.Sscan(m.Body, &sent)
					_ = t.latency.RecordValue((time.Since(startTime) - sent).Microseconds())
					t.received++
					delivered.Add(1)
				}
			case "rejected":
				b.Errorf("%s", f.Raw)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		t.socket = s
		if i%2 == 1 {
			d, err := c.CreateDirect(b.Context(), previous.Me().ID)
			if err != nil {
				b.Fatal(err)
			}
			all[i-1].conversation, t.conversation = d.ID, d.ID
		}
		previous = c
	}
	runtime.GC()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, t := range all {
		n := b.N / people
		if i < b.N%people {
			n++
		}
		wg.Go(func() {
			for range n {
				t.inFlight <- struct{}{}
				err := t.socket.Send(wire.Send{
					T: "send", ID: client.NewClientID(), Conversation: t.conversation,
					Body: fmt.Sprintf("%d %0100d", time.Since(startTime), 0),
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	deadline := time.Now().Add(30 * time.Second)
	for delivered.Load() < int64(b.N) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	if got := delivered.Load(); got != int64(b.N) {
		b.Errorf("%d sent, %d delivered", b.N, got)
	}
	whole := hdrhistogram.New(1, 60_000_000, 3)
	for _, t := range slices.Backward(all) {
		t.socket.Close()
		whole.Merge(t.latency)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(whole.ValueAtQuantile(50))/1000, "p50-ms")
	b.ReportMetric(float64(whole.ValueAtQuantile(95))/1000, "p95-ms")
	b.ReportMetric(0, "ns/op")
}

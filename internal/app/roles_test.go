package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
)

// recordingBroker is a broker that records the order in which things end.
type recordingBroker struct {
	broker.Broker
	mu    sync.Mutex
	ended []string
}

func (o *recordingBroker) record(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = append(o.ended, what)
}

func (o *recordingBroker) Consume(ctx context.Context, _ broker.Handler) error {
	<-ctx.Done()
	o.record("worker")
	return nil
}

func (o *recordingBroker) Close(context.Context) error {
	o.record("broker")
	return nil
}

// The embedded broker confirms what a worker has stored, so it closes first. In a
// cluster a worker that drains needs the broker for dead letters.
func TestStopOrder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alone bool
		want  []string
	}{
		{"embedded", true, []string{"broker", "worker"}},
		{"cluster", false, []string{"worker", "broker"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o recordingBroker
			a := &App{log: slog.New(slog.DiscardHandler), metrics: prometheus.NewRegistry(), backends: backends{broker: &o, standalone: tt.alone}}
			if !tt.alone {
				a.onStop("broker", o.Close) // as openCluster does
			}
			if err := startWorker(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if err := a.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if !slices.Equal(o.ended, tt.want) {
				t.Errorf("they ended in the order %v, not %v", o.ended, tt.want)
			}
		})
	}
}

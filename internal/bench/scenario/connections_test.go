package scenario_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/faulty"
)

type runner interface {
	Run(ctx context.Context, r *scenario.Run) error
}

// runScenario runs a scenario against a system.
func runScenario(t *testing.T, s *faulty.System, what runner) *report.Report {
	t.Helper()
	r := report.New("test", s.Name(), "test")
	if err := what.Run(t.Context(), &scenario.Run{Name: "test", Target: s, Report: r}); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConnectionsThatFailAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty.System{RefuseConnection: func(n int) bool { return n%100 == 0 }}
		r := runScenario(t, s, &scenario.Connections{Users: 1000, ConnectRate: 500, Concurrency: 10, Hold: time.Minute, Sample: 100, Rate: 50})
		c := r.Connections
		if c.Attempted != 1000 || c.Succeeded != 990 || c.Ended != 0 || len(c.Errors) == 0 {
			t.Errorf("%+v", c)
		}
		if math.Abs(c.PerS-500) > 10 || c.HeldS != 60 {
			t.Errorf("%v a second, held for %v s", c.PerS, c.HeldS)
		}
		if !r.Passed() || r.Sent != 250 || r.Delivered != 500 {
			t.Errorf("%+v", r.Verdict)
		}
		if last := r.Series[len(r.Series)-1]; last.Connected != 990 || last.At < 65 {
			t.Errorf("%+v", last)
		}
	})
}

// growing is a probe of what grows by 1 MiB with each sample.
type growing struct{ samples float64 }

func (g *growing) Sample(context.Context) (scenario.Usage, error) {
	g.samples++
	return scenario.Usage{MemoryMiB: g.samples}, nil
}

// busy is a meter that finds the server to use a quarter of a processor, and the
// tool an eighth.
type busy struct{ started time.Time }

func (b *busy) Start(context.Context) (func(context.Context, int64) (*cost.Cost, error), error) {
	b.started = time.Now()
	return func(_ context.Context, messages int64) (*cost.Cost, error) {
		of := func(name string, processors float64) cost.Process {
			return cost.Process{Name: name, CPU: processors * time.Since(b.started).Seconds() / float64(messages) * 1e6}
		}
		return &cost.Cost{
			Messages: messages, Seconds: time.Since(b.started).Seconds(),
			Processes: []cost.Process{of("gateway", 0.125), of("worker", 0.125), of(cost.Tool, 0.125)}, Together: of("together", 0.375),
		}, nil
	}, nil
}

// The report has what connections take of memory, and of processors while nobody
// says anything.
func TestConnectionsThatAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty.System{}
		r := report.New("connections", s.Name(), "test")
		err := (&scenario.Connections{Users: 1024, Concurrency: 10, Hold: time.Minute, Sample: 10, Rate: 10}).Run(t.Context(), &scenario.Run{
			Name: "test", Target: s, Report: r, ToolProbe: &growing{}, MachineProbe: &growing{}, CostMeter: &busy{},
		})
		if err != nil {
			t.Fatal(err)
		}
		c := r.Connections
		if c.ToolBytesEach != 1024 || c.MachineBytesEach != 1024 || c.BytesEach != 0 {
			t.Errorf("%+v", c)
		}
		if math.Abs(c.HeldCPU-0.25) > 1e-9 || math.Abs(c.HeldToolCPU-0.125) > 1e-9 {
			t.Errorf("%v and %v processors", c.HeldCPU, c.HeldToolCPU)
		}
	})
}

func TestFanoutWaitsForTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty.System{Delay: func(int) time.Duration { return 40 * time.Millisecond }}
		r := runScenario(t, s, &scenario.Fanout{Sizes: []int{10, 100}, Deliveries: 1000, Senders: 5, Duration: 5 * time.Second, WarmUp: time.Second})
		if len(r.Steps) != 2 || !r.Passed() || r.Sent != 660 || r.Delivered != 600*10+60*100 {
			t.Fatalf("%d steps, %+v", len(r.Steps), r.Verdict)
		}
		for _, step := range r.Steps {
			if math.Abs(step.Complete.P50-40) > 0.4 || math.Abs(step.Receipts-1000) > 15 {
				t.Errorf("%+v", step)
			}
		}
	})
}

func TestReconnect(t *testing.T) {
	what := func() *scenario.Reconnect {
		return &scenario.Reconnect{Users: 100, Rate: 100, Offset: 2 * time.Second, Spread: 5 * time.Second, Concurrency: 50}
	}
	t.Run("kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := runScenario(t, &faulty.System{}, what())
			if b := r.Return; b.Returned != 100 || b.Missed != 200 || b.AllS > 5.1 || b.AllS < 4 || b.Synced.Max < 4000 {
				t.Errorf("%+v", r.Return)
			}
			if !r.Passed() || r.Lost != 0 || r.Sent != 1200 {
				t.Errorf("%+v", r.Verdict)
			}
		})
	})
	t.Run("left out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if r := runScenario(t, &faulty.System{SkipMissed: true}, what()); r.Lost != 50 || r.Duplicated != 0 {
				t.Errorf("%+v", r.Verdict)
			}
		})
	})
	t.Run("told again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if r := runScenario(t, &faulty.System{RepeatReceived: true}, what()); r.Lost != 0 || r.Duplicated != 100 {
				t.Errorf("%+v", r.Verdict)
			}
		})
	})
}

func TestSoakFindsDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 20
		s := &faulty.System{
			ActionDelay: 30 * time.Millisecond,
			Delay:       func(n int) time.Duration { return 10*time.Millisecond + time.Duration(n)*5*time.Microsecond },
		}
		r := runScenario(t, s, &scenario.Soak{
			Users: 20, Rate: rate, ActionRate: 10, DisconnectRate: 1, Duration: 12 * time.Minute, Window: time.Minute, MaxActions: 10, ActionTimeout: 10 * time.Second,
		})
		// A message comes 5 * rate µs later each second: 360 ms an hour, 72 ms
		// in all.
		if d := r.Drift; math.Abs(d.P95PerHour-360) > 10 || d.FirstP95 > 25 || d.LastP95 < 70 || d.MiBPerHour != 0 {
			t.Errorf("%+v", d)
		}
		if !r.Passed() || r.Sent != rate*720 || len(r.Steps) != 12 || math.Abs(r.MsgsPerS-rate) > 0.5 {
			t.Errorf("%+v, %v messages/s in %d steps", r.Verdict, r.MsgsPerS, len(r.Steps))
		}
		if len(r.Acts) != 2 || r.Acts[0].Done < 7000 || math.Abs(r.Acts[0].Latency.P50-30) > 0.3 || r.Acts[1].Done < 600 || r.Acts[1].Failed != 0 {
			t.Errorf("%+v", r.Acts)
		}
	})
}

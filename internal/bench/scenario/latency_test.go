package scenario_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/faulty"
)

func search(t *testing.T, s *faulty.System) *report.Report {
	t.Helper()
	r := report.New("latency", s.Name(), "test")
	l := &scenario.Latency{
		Users: []int{10}, From: 500, To: 8000, Factor: 2, Halvings: 3, Step: 5 * time.Second, WarmUp: time.Second, MaxP95: 170 * time.Millisecond,
	}
	if err := l.Run(t.Context(), &scenario.Run{Name: "test", Target: s, Report: r}); err != nil {
		t.Fatal(err)
	}
	return r
}

// A system that handles 3,000 messages a second is found to do so, to within
// the last halving.
func TestHighestRateIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := search(t, &faulty.System{PerSecond: 3000})
		if r.Rate != 3000 || !r.Passed() || !strings.Contains(r.Limit, "p95") {
			t.Errorf("%v, limit %q, %+v", r.Rate, r.Limit, r.Verdict)
		}
		var rates []float64
		for _, s := range r.Steps {
			rates = append(rates, s.Rate)
		}
		if len(rates) != 7 || rates[3] != 4000 || rates[4] != 3000 || rates[5] != 3500 || rates[6] != 3250 {
			t.Errorf("the rates were %v", rates)
		}
	})
}

func TestSystemWithoutALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := search(t, &faulty.System{})
		if r.Rate != 8000 || r.Limit != "" || len(r.Steps) != 5 {
			t.Errorf("%v, %q, %d steps", r.Rate, r.Limit, len(r.Steps))
		}
	})
}

// A loss ends the search whatever the latency is.
func TestLossIsALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := search(t, &faulty.System{Lose: func(n int) bool { return n == 5000 }})
		if r.Rate != 500 && r.Rate != 750 && r.Rate != 875 && r.Rate != 937.5 || !strings.Contains(r.Limit, "had not come") || r.Lost != 1 {
			t.Errorf("%v, %q, %+v", r.Rate, r.Limit, r.Verdict)
		}
	})
}

// Where already the first rate is too high, lower ones are tried.
func TestFirstRateIsTooHigh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if r := search(t, &faulty.System{PerSecond: 200}); r.Rate != 187.5 || len(r.Steps) != 4 || !strings.Contains(r.Limit, "at 250/s") {
			t.Errorf("%v, %q, %d steps", r.Rate, r.Limit, len(r.Steps))
		}
	})
}

// Several numbers of users are tried one after the other, and all messages are
// judged.
func TestRampOfPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty.System{PerSecond: 3000}
		r := report.New("latency", s.Name(), "test")
		l := &scenario.Latency{Users: []int{4, 20}, From: 500, To: 1000, Factor: 2, Step: time.Second, MaxP95: time.Second}
		if err := l.Run(t.Context(), &scenario.Run{Name: "test", Target: s, Report: r}); err != nil {
			t.Fatal(err)
		}
		if len(r.Steps) != 4 || r.Steps[3].Label != "20 people, 1000/s" || r.Sent != 3000 || !r.Passed() || r.Steps[3].From <= r.Steps[1].To {
			t.Errorf("%d steps, %+v", len(r.Steps), r.Verdict)
		}
	})
}

// meter measures nothing, and counts what is asked of it.
type meter struct {
	started, stopped int
	startErr, err    error
}

func (m *meter) Start(context.Context) (func(context.Context, int64) (*cost.Cost, error), error) {
	if m.startErr != nil {
		return nil, m.startErr
	}
	m.started++
	return func(_ context.Context, messages int64) (*cost.Cost, error) {
		m.stopped++
		return &cost.Cost{Messages: messages, Together: cost.Process{CPU: float64(m.stopped)}}, m.err
	}, nil
}

// Each step says what its messages cost, and the run what those of its figures
// did. That it cannot be measured is said once, and ends nothing.
func TestCostOfSteps(t *testing.T) {
	for name, tt := range map[string]struct {
		meter meter
		note  string
	}{
		"measured":    {meter{}, ""},
		"not at all":  {meter{startErr: errors.New("no such process")}, "what a message cost could not be measured: no such process"},
		"not the end": {meter{err: errors.New("it has ended")}, "what a message cost could not be measured: it has ended"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, m := &faulty.System{}, &tt.meter
			r := report.New("latency", s.Name(), "test")
			l := &scenario.Latency{Users: []int{4}, From: 500, To: 2000, Factor: 2, Step: time.Second, WarmUp: time.Second, MaxP95: time.Second}
			if err := l.Run(t.Context(), &scenario.Run{Name: "test", Target: s, Report: r, CostMeter: m}); err != nil {
				t.Fatal(err)
			}
			if len(r.Steps) != 3 || m.started != m.stopped || r.Rate != 2000 {
				t.Fatalf("%s: %+v, %d steps", name, m, len(r.Steps))
			}
			for i, step := range r.Steps {
				if tt.note != "" && step.Cost != nil || tt.note == "" && (step.Cost.Messages != step.Accepted || step.Cost.Together.CPU != float64(i+1)) {
					t.Errorf("%s: step %d: %+v", name, i, step.Cost)
				}
			}
			if tt.note == "" && (r.Cost == nil || r.Cost.Together.CPU != 3 || len(r.Notes) > 0) || tt.note != "" && !slices.Equal(r.Notes, []string{tt.note}) {
				t.Errorf("%s: %+v, %q", name, r.Cost, r.Notes)
			}
		})
	}
}

package scenario_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/faulty"
)

func burst(t *testing.T, s *faulty.System, drain time.Duration) *report.Report {
	t.Helper()
	r := report.New("burst", s.Name(), "test")
	b := &scenario.Burst{Users: 10, Rate: 1500, Duration: 10 * time.Second, Drain: drain}
	if err := b.Run(t.Context(), &scenario.Run{Name: "test", Target: s, Report: r}); err != nil {
		t.Fatal(err)
	}
	return r
}

// A system that accepts at once and handles 1,000 messages a second gathers
// 5,000 in ten seconds of 1,500, and needs five more for them.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := burst(t, &faulty.System{PerSecond: 1000, AcceptEarly: true}, time.Minute)
		if math.Abs(r.Queue.DrainS-5) > 0.1 || math.Abs(float64(r.Queue.Peak)-5000) > 100 || math.Abs(r.MsgsPerS-1000) > 10 {
			t.Errorf("%+v, %v messages/s", r.Queue, r.MsgsPerS)
		}
		if !r.Passed() || r.Sent != 15_000 || len(r.Notes) > 0 {
			t.Errorf("%+v, %v", r.Verdict, r.Notes)
		}
	})
}

func TestBurstThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := burst(t, &faulty.System{PerSecond: 100, AcceptEarly: true}, time.Second)
		if len(r.Notes) != 1 || r.Passed() {
			t.Errorf("%v, %+v", r.Notes, r.Verdict)
		}
	})
}

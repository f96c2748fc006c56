package load_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/faulty"
)

// All of these run on a clock of the test's own (synctest), so that what was
// injected is known exactly.

func pairs(users int) target.Plan {
	p := target.Plan{Run: "test", Users: users}
	for i := 0; i < users; i += 2 {
		p.Rooms = append(p.Rooms, []int{i, i + 1})
	}
	return p
}

// runPhase runs one phase against a system and checks it.
func runPhase(t *testing.T, s *faulty.System, phase load.Phase) (*load.Result, *audit.Verdict) {
	t.Helper()
	users, err := load.Prepare(t.Context(), s, pairs(10), load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	if _, err := users.Connect(t.Context(), load.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	result, err := users.RunPhase(t.Context(), phase)
	if err != nil {
		t.Fatal(err)
	}
	v, err := users.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result, v
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > want/100 {
		t.Errorf("%s is %v, want %v within 1%%", what, got, want)
	}
}

// percentile is that of all values, in milliseconds.
func percentile(of []time.Duration, q float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return float64(sorted[int(math.Ceil(q/100*float64(len(sorted))))-1]) / float64(time.Millisecond)
}

func matches(t *testing.T, got load.Latency, want []time.Duration) {
	t.Helper()
	near(t, "p50", got.P50, percentile(want, 50))
	near(t, "p90", got.P90, percentile(want, 90))
	near(t, "p95", got.P95, percentile(want, 95))
	near(t, "p99", got.P99, percentile(want, 99))
	near(t, "p99.9", got.P999, percentile(want, 99.9))
	near(t, "max", got.Max, percentile(want, 100))
}

func TestPercentilesAreThoseInjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, seconds = 2000, 10
		rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's choices
		delays := make([]time.Duration, rate*seconds)
		for i := range delays { // 0.5 ms to 5 s, as many between 1 and 2 as between 2 and 4
			delays[i] = time.Duration(math.Exp(rng.Float64()*math.Log(10_000)) * float64(500*time.Microsecond))
		}
		s := &faulty.System{Delay: func(n int) time.Duration { return delays[n] }}
		r, v := runPhase(t, s, load.Phase{Rate: rate, Duration: seconds * time.Second, Drain: time.Minute})
		if r.Sent != rate*seconds || r.Delivered != 2*rate*seconds || r.Missing != 0 || v.Lost+v.Duplicated+v.Foreign != 0 {
			t.Errorf("%+v\n%+v", r, v)
		}
		matches(t, r.Latency, delays)
		matches(t, r.Answer, delays)
	})
}

// A system that accepts nothing for two seconds is late with every message that
// was due in them, not for the one that it held up (coordinated omission).
func TestStallCountsInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, seconds, stall = 1000, 10, 2 * time.Second
		s := &faulty.System{Stall: func(n int) time.Duration {
			if n == 3000 {
				return stall
			}
			return 0
		}}
		r, v := runPhase(t, s, load.Phase{Rate: rate, Duration: seconds * time.Second, Drain: time.Minute})
		// A fifth of the messages were due in the stall, evenly.
		near(t, "p90", r.Latency.P90, 1000)
		near(t, "p95", r.Latency.P95, 1500)
		near(t, "p99", r.Latency.P99, 1900)
		near(t, "max", r.Latency.Max, 2000)
		if r.Latency.P50 > 1 {
			t.Errorf("p50 is %v", r.Latency.P50)
		}
		if r.Lag.Max < 1900 || !v.Passed() {
			t.Errorf("the tool was late by %v ms at most; %+v", r.Lag.Max, v)
		}
	})
}

func TestWarmUpIsNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty.System{Delay: func(n int) time.Duration {
			if n < 2000 {
				return 900 * time.Millisecond
			}
			return 10 * time.Millisecond
		}}
		var series []load.Second
		tick := func(s load.Second) { series = append(series, s) }
		r, _ := runPhase(t, s, load.Phase{Rate: 1000, WarmUp: 2 * time.Second, Duration: 3 * time.Second, Drain: time.Minute, OnTick: tick})
		near(t, "max", r.Latency.Max, 10)
		near(t, "the rate", r.PerSecond, 1000)
		near(t, "the receipts", r.Receipts, 2000)
		if r.Sent != 5000 || len(series) < 5 || series[0].Sent < 990 || series[0].Connected != 10 {
			t.Errorf("%+v, %+v", r, series)
		}
		if hot := series[4].Heat; len(hot) != len(load.HeatBoundsMS) || hot[slices.IndexFunc(load.HeatBoundsMS, func(b float64) bool { return b > 10 })] < 1900 {
			t.Errorf("the last second's heat is %v", hot)
		}
	})
}

// What has not arrived when the drain ends is recorded with its age: a percentile that
// left it out would be too good.
func TestOutstandingIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty.System{Hang: func(n int) bool { return n%10 == 0 }}
		r, _ := runPhase(t, s, load.Phase{Rate: 100, Duration: 10 * time.Second, Drain: 5 * time.Second})
		// A tenth is 5 to 15 s late, and 10 in the middle.
		near(t, "p95", r.Latency.P95, 10_000)
		near(t, "the answers' p95", r.Answer.P95, 10_000)
		near(t, "max", r.Complete.Max, 15_000)
		near(t, "what came", r.Receipts, 2*900/15.0)
		if r.Missing != 200 {
			t.Errorf("%d are missing", r.Missing)
		}
	})
}

// One message that comes twice does not stand for another one that does not
// come.
func TestDuplicatesDoNotHideLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty.System{Duplicate: func(n int) bool { return n == 10 }, Lose: func(n int) bool { return n == 20 }}
		r, v := runPhase(t, s, load.Phase{Rate: 100, Duration: time.Second, Drain: time.Second})
		if r.Missing != 1 || v.Lost != 1 || v.Duplicated != 1 {
			t.Errorf("%+v, %+v", r, v)
		}
	})
}

func TestViolationsAreFound(t *testing.T) {
	some := func(n int) bool { return n%500 == 250 }
	for name, c := range map[string]struct {
		system *faulty.System
		ok     func(r *load.Result, v *audit.Verdict) bool
		named  string
	}{
		"nothing": {
			&faulty.System{},
			func(r *load.Result, v *audit.Verdict) bool {
				return v.Passed() && r.Missing == 0 && v.Accepted == 2000 && v.Delivered == 4000
			}, "",
		},
		"loses": {
			&faulty.System{Lose: some},
			func(r *load.Result, v *audit.Verdict) bool { return v.Lost == 4 && r.Missing == 4 && !v.Passed() }, "never received",
		},
		"doubles": {
			&faulty.System{Duplicate: some},
			func(_ *load.Result, v *audit.Verdict) bool { return v.Duplicated == 4 && !v.Passed() }, "again",
		},
		"swaps": {
			&faulty.System{Reorder: some},
			func(r *load.Result, v *audit.Verdict) bool { return v.OutOfOrder == 4 && r.Missing == 0 && !v.Passed() }, "after a later one",
		},
		"forgets": {
			&faulty.System{Forget: some},
			func(_ *load.Result, v *audit.Verdict) bool { return v.Lost == 4 && !v.Passed() }, "not stored",
		},
		"refuses": {
			&faulty.System{Refuse: some},
			func(r *load.Result, v *audit.Verdict) bool {
				return v.Refused == 4 && r.Refused == 4 && r.Missing == 0 && v.Passed()
			}, "",
		},
		"answers after it has delivered": {
			&faulty.System{AcceptDelay: 50 * time.Millisecond},
			func(r *load.Result, v *audit.Verdict) bool {
				return r.Accepted == 2000 && r.DrainS < 0.01 && v.Unanswered == 0 && v.Passed()
			}, "",
		},
		"gives senders nothing back": {
			&faulty.System{NoEcho: true, Delay: func(int) time.Duration { return time.Millisecond }},
			func(r *load.Result, v *audit.Verdict) bool {
				return v.Passed() && r.Missing == 0 && r.Delivered == 2000 && v.Delivered == 2000 && math.Abs(r.PerSecond-1000) < 10
			}, "",
		},
		"gives senders nothing back, and loses": {
			&faulty.System{NoEcho: true, Lose: some},
			func(r *load.Result, v *audit.Verdict) bool { return v.Lost == 4 && r.Missing == 4 && !v.Passed() }, "never received",
		},
		"gives senders nothing back, cannot tell what is stored, and swaps": {
			&faulty.System{NoEcho: true, NoHistory: true, Reorder: some},
			func(r *load.Result, v *audit.Verdict) bool { return v.OutOfOrder == 4 && r.Missing == 0 && !v.Passed() }, "after a later one",
		},
		"gives senders some back that it should not": {
			&faulty.System{NoEcho: true, EchoAnyway: some},
			func(r *load.Result, v *audit.Verdict) bool {
				return v.Foreign == 4 && v.Delivered == 2000 && r.Delivered == 2000 && !v.Passed()
			}, "received its own",
		},
		"cannot tell what is stored": {
			&faulty.System{NoHistory: true},
			func(_ *load.Result, v *audit.Verdict) bool { return v.Passed() && v.Delivered == 4000 }, "",
		},
		"cannot tell what is stored, and loses": {
			&faulty.System{NoHistory: true, Lose: some},
			func(_ *load.Result, v *audit.Verdict) bool { return v.Lost == 4 && !v.Passed() }, "never received",
		},
		"hangs": {
			&faulty.System{Hang: some},
			func(r *load.Result, v *audit.Verdict) bool { return v.Unanswered == 4 && r.Missing == 8 }, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, v := runPhase(t, c.system, load.Phase{Rate: 1000, Duration: 2 * time.Second, Drain: time.Second})
				if !c.ok(r, v) {
					t.Errorf("%+v\n%+v", r, v)
				}
				if all := strings.Join(v.Violations, "\n"); !strings.Contains(all, c.named) || c.named == "" && all != "" {
					t.Errorf("the offenders are %s", all)
				}
			})
		})
	}
}

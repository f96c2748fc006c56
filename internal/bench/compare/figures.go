package compare

import (
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/machine"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Better says whether a higher or a lower value is better.
type Better string

// The ways.
const (
	Higher  Better = "higher"
	Lower   Better = "lower"
	Neither Better = ""
)

// metric is a figure by which runs are compared.
type metric struct {
	name      string // as in docs/bench.md and in conditions
	label     string
	unit      humanize.Unit
	better    Better
	scenarios []string // scenarios that it means something in; nil for all
	value     func(r *report.Report) (float64, bool)
}

// onlyNonZero are the metrics that are shown only if a run has a value above 0.
var onlyNonZero = []string{"repaired", "unasked"}

// processMetrics are the metrics of the server's processes, where they were
// sampled.
var processMetrics = []string{"bytes_each", "peak_cpu", "mib_per_hour"}

// messageScenarios are the scenarios that measure message rate and latency.
var messageScenarios = []string{"latency", "burst", "soak", "fanout"}

var metrics = []metric{
	{"msgs_per_s", "messages arrived", humanize.PerSecond, Higher, []string{"latency", "burst", "soak"}, positiveOnly(func(r *report.Report) float64 { return r.MsgsPerS })},
	{"deliveries_per_s", "deliveries", humanize.PerSecond, Higher, []string{"fanout"}, positiveOnly(func(r *report.Report) float64 { return r.Deliveries })},
	{"p50", "latency p50", humanize.Milliseconds, Lower, messageScenarios, positiveOnly(func(r *report.Report) float64 { return r.Latency.P50 })},
	{"p95", "latency p95", humanize.Milliseconds, Lower, messageScenarios, positiveOnly(func(r *report.Report) float64 { return r.Latency.P95 })},
	{"p99", "latency p99", humanize.Milliseconds, Lower, messageScenarios, positiveOnly(func(r *report.Report) float64 { return r.Latency.P99 })},
	{"complete_p95", "last device p95", humanize.Milliseconds, Lower, []string{"fanout"}, positiveOnly(func(r *report.Report) float64 { return r.Complete.P95 })},
	{"complete_max", "last device max", humanize.Milliseconds, Lower, []string{"fanout"}, positiveOnly(func(r *report.Report) float64 { return r.Complete.Max })},
	{"accepted_p95", "accepted p95", humanize.Milliseconds, Lower, messageScenarios, positiveOnly(func(r *report.Report) float64 { return r.Answer.P95 })},
	{"cpu_per_million", "processor time for a million messages", humanize.CPUSeconds, Lower, messageScenarios, costMetric(func(c *cost.Cost) (float64, bool) { return c.Together.CPU, true })},
	{"switches_per_message", "context switches for a message", humanize.Count, Lower, messageScenarios, costMetric(func(c *cost.Cost) (float64, bool) {
		if c.Together.Switches == nil {
			return 0, false
		}
		return c.Together.Switches.All(), true
	})},
	{"wait_per_message", "waits for a processor for a message", humanize.Milliseconds, Lower, messageScenarios, costMetric(func(c *cost.Cost) (float64, bool) {
		if c.Together.WaitMS == nil {
			return 0, false
		}
		return *c.Together.WaitMS, true
	})},
	{"queue_peak", "accepted, not yet arrived, at most", humanize.Count, Lower, []string{"burst"}, func(r *report.Report) (float64, bool) { return float64(r.Queue.Peak), r.Sent > 0 }},
	{"queue_drain", "until all arrived", humanize.Seconds, Lower, []string{"burst"}, func(r *report.Report) (float64, bool) { return r.Queue.DrainS, r.Sent > 0 && r.Missing() == 0 }},
	{"refused", "refused", humanize.Percent, Lower, []string{"burst"}, func(r *report.Report) (float64, bool) {
		return percent(r.Refused, r.Sent), r.Sent > 0
	}},

	{"connections", "connections", humanize.Count, Higher, []string{"connections"}, connectionMetric(func(c *report.Connections) float64 { return float64(c.Succeeded) })},
	{"connected", "of those tried", humanize.Percent, Higher, []string{"connections"}, connectionMetric(func(c *report.Connections) float64 { return percent(c.Succeeded, c.Attempted) })},
	{"connections_per_s", "connected", humanize.PerSecond, Higher, []string{"connections"}, connectionMetric(func(c *report.Connections) float64 { return c.PerS })},
	{"connect_p95", "time to connect p95", humanize.Milliseconds, Lower, []string{"connections"}, connectionMetric(func(c *report.Connections) float64 { return c.Connect.P95 })},
	{"ended", "ended by themselves", humanize.Count, Lower, []string{"connections"}, func(r *report.Report) (float64, bool) {
		if r.Connections == nil {
			return 0, false
		}
		return float64(r.Connections.Ended), true
	}},
	{"bytes_each", "server's memory for each", humanize.Bytes, Lower, []string{"connections"}, connectionMetric(func(c *report.Connections) float64 { return c.BytesEach })},

	{"synced_p95", "all caught up, p95", humanize.Milliseconds, Lower, []string{"reconnect"}, reconnectMetric(func(x *report.Return) float64 { return x.Synced.P95 })},
	{"all_synced", "the last one", humanize.Seconds, Lower, []string{"reconnect"}, reconnectMetric(func(x *report.Return) float64 { return x.AllS })},
	{"peak_cpu", "server's worst second", humanize.Processors, Lower, []string{"reconnect"}, reconnectMetric(func(x *report.Return) float64 { return x.PeakCPU })},
	{"afterwards_p95", "latency p95 afterwards", humanize.Milliseconds, Lower, []string{"reconnect"}, reconnectMetric(func(x *report.Return) float64 { return x.Afterwards.P95 })},

	{"mib_per_hour", "memory's drift", humanize.MiBPerHour, Lower, []string{"soak"}, driftMetric(func(d *report.Drift) (float64, bool) { return d.MiBPerHour, d.FirstMiB > 0 })},
	{"p95_ms_per_hour", "p95's drift", humanize.MsPerHour, Lower, []string{"soak"}, driftMetric(func(d *report.Drift) (float64, bool) { return d.P95PerHour, d.FirstP95 > 0 })},

	{"lost", "lost", humanize.Count, Lower, nil, messageCount(func(r *report.Report) int64 { return r.Lost })},
	{"duplicated", "duplicated", humanize.Count, Lower, nil, messageCount(func(r *report.Report) int64 { return r.Duplicated })},
	{"out_of_order", "out of order", humanize.Count, Lower, nil, messageCount(func(r *report.Report) int64 { return r.OutOfOrder })},
	{"foreign", "foreign", humanize.Count, Lower, nil, messageCount(func(r *report.Report) int64 { return r.Foreign })},
	{"repaired", "asked for by devices", humanize.Count, Lower, nil, messageCount(func(r *report.Report) int64 { return r.Repaired })},
	{"unasked", "histories not asked for", humanize.Count, Lower, nil, messageCount(func(r *report.Report) int64 { return r.HistoryUnavailable })},

	{"context_switch", "the machine's context switch", humanize.Microseconds, Neither, nil, speedMetric(func(s *machine.Speed) float64 { return s.ContextSwitchUS })},
	{"wake_up", "the machine's wake-up of a processor", humanize.Microseconds, Neither, nil, speedMetric(func(s *machine.Speed) float64 { return s.WakeUpUS })},
	{"fdatasync", "the machine's fdatasync", humanize.Milliseconds, Neither, nil, speedMetric(func(s *machine.Speed) float64 { return s.FdatasyncMS })},
}

// costMetric is a metric of what a message cost at the rate of the figures.
func costMetric(of func(c *cost.Cost) (float64, bool)) func(r *report.Report) (float64, bool) {
	return func(r *report.Report) (float64, bool) {
		if r.Cost == nil || !r.Cost.OfServer() {
			return 0, false
		}
		return of(r.Cost)
	}
}

// speedMetric is how fast the machine was before the run.
func speedMetric(of func(s *machine.Speed) float64) func(r *report.Report) (float64, bool) {
	return func(r *report.Report) (float64, bool) {
		if r.Machine.Speed == nil {
			return 0, false
		}
		v := of(r.Machine.Speed)
		return v, v > 0
	}
}

func (m *metric) appliesTo(scenario string) bool {
	return m.scenarios == nil || slices.Contains(m.scenarios, scenario)
}

// values returns the value of each run of a group that has one.
func (m *metric) values(g Group) []float64 {
	if g.Reference != nil {
		if v, ok := g.Reference.Figures[m.name]; ok {
			return []float64{v}
		}
		return nil
	}
	var all []float64
	for _, r := range g.Reports {
		if v, ok := m.value(r); ok {
			all = append(all, v)
		}
	}
	return all
}

func positiveOnly(of func(r *report.Report) float64) func(r *report.Report) (float64, bool) {
	return func(r *report.Report) (float64, bool) {
		v := of(r)
		return v, v > 0
	}
}

// messageCount is a count of messages, in a run that had any.
func messageCount(of func(r *report.Report) int64) func(r *report.Report) (float64, bool) {
	return func(r *report.Report) (float64, bool) { return float64(of(r)), r.Sent > 0 }
}

// connectionMetric is a metric of connections that is unknown when it is 0.
func connectionMetric(of func(c *report.Connections) float64) func(r *report.Report) (float64, bool) {
	return func(r *report.Report) (float64, bool) {
		if r.Connections == nil {
			return 0, false
		}
		v := of(r.Connections)
		return v, v > 0 || r.Connections.Succeeded == 0 && r.Connections.Attempted > 0
	}
}

func reconnectMetric(of func(x *report.Return) float64) func(r *report.Report) (float64, bool) {
	return func(r *report.Report) (float64, bool) {
		if r.Return == nil {
			return 0, false
		}
		v := of(r.Return)
		return v, v > 0
	}
}

func driftMetric(of func(d *report.Drift) (float64, bool)) func(r *report.Report) (float64, bool) {
	return func(r *report.Report) (float64, bool) {
		if r.Drift == nil {
			return 0, false
		}
		return of(r.Drift)
	}
}

func percent(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

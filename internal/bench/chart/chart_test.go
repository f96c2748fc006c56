package chart

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report/reporttest"
)

func of(t *testing.T, reports []*report.Report, beside ...compare.Reference) []Chart {
	t.Helper()
	sets := compare.Sets(reports, beside...)
	if len(sets) != 1 {
		t.Fatalf("%d sets", len(sets))
	}
	return ForSet(sets[0])
}

func named(t *testing.T, charts []Chart, name string) Chart {
	t.Helper()
	i := slices.IndexFunc(charts, func(c Chart) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return charts[i]
}

// Each scenario has its charts, in the order in which one wants to see them.
func TestScenarios(t *testing.T) {
	want := map[string]string{
		"latency":     "latency-over-rate latency-rate latency-queue latency-heat",
		"burst":       "burst-rate burst-queue burst-latency burst-heat",
		"connections": "connections connections-connect connections-heat connections-memory connections-cpu",
		"fanout":      "fanout-complete fanout-deliveries fanout-latency fanout-heat fanout-memory fanout-cpu",
		"reconnect":   "reconnect-connections reconnect-connect reconnect-rate reconnect-latency reconnect-heat reconnect-memory reconnect-cpu",
		"soak":        "soak-latency soak-rate soak-queue soak-connections soak-heat soak-memory soak-cpu",
	}
	for _, r := range reporttest.All() {
		var names []string
		for _, c := range of(t, []*report.Report{r}) {
			names = append(names, c.Name)
			if _, err := json.Marshal(c); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
			for _, l := range c.Lines {
				if len(l.X) != len(l.Y) || !slices.IsSorted(l.X) {
					t.Errorf("%s: %s has %d and %d values, or they go back", c.Name, l.Name, len(l.X), len(l.Y))
				}
			}
		}
		if got := strings.Join(names, " "); got != want[r.Scenario] {
			t.Errorf("%s: %s", r.Scenario, got)
		}
	}
}

func TestOverRate(t *testing.T) {
	r := reporttest.Recorded("latency")
	c := named(t, of(t, []*report.Report{r}, compare.Published...), "latency-over-rate")
	if len(c.Lines) != 4 || c.Choices != nil {
		t.Fatalf("%+v", c)
	}
	for _, s := range r.Steps {
		i := slices.Index(c.Lines[1].X, s.Rate)
		if i < 0 || c.Lines[1].Y[i] != s.Latency.P95 {
			t.Errorf("the p95 at %v is not in it", s.Rate)
		}
	}
	if l := c.Lines[3]; l.Tone != Published || l.X[0] != 1200 || l.Y[0] != 170 {
		t.Errorf("%+v", l)
	}
	if c.Limits[0].Value != 170 || c.Limits[1].Value != r.Rate || !c.Limits[1].OfX {
		t.Errorf("%+v", c.Limits)
	}
}

// Runs of two groups are in the same chart, with a color for each group and one
// percentile at a time.
func TestCompared(t *testing.T) {
	other := reporttest.Recorded("latency-again")
	other.Target = "other"
	charts := of(t, []*report.Report{reporttest.Recorded("latency"), reporttest.Recorded("latency-again"), other})
	c := named(t, charts, "latency-over-rate")
	if fmt.Sprint(c.Choices) != "[p95 p50 p99]" || len(c.Lines) != 9 {
		t.Fatalf("%v, %d lines", c.Choices, len(c.Lines))
	}
	tones := map[string]int{}
	for _, l := range c.Lines {
		if before, seen := tones[l.Name]; l.Choice == "" || seen && before != l.Tone {
			t.Errorf("%+v", l)
		}
		tones[l.Name] = l.Tone
	}
	if len(tones) != 2 || tones["hikyaku"] == tones["other"] {
		t.Errorf("%v", tones)
	}
	named(t, charts, "latency-heat-1")
	named(t, charts, "latency-heat-2")
}

// Plots of memory say whose it is, of each group where they differ; nothing
// published stands in the plot of what was accepted and has not arrived.
func TestProcesses(t *testing.T) {
	one, two := reporttest.Soak(), reporttest.Soak()
	one.Parameters = map[string]string{report.ServerParameter: "2 gateways"}
	two.Target, two.Parameters = "other", nil
	for _, name := range []string{"soak-memory", "soak-cpu"} {
		if c := named(t, of(t, []*report.Report{one}), name); !strings.Contains(c.Note, "of 2 gateways,") {
			t.Error(c.Note)
		}
		if c := named(t, of(t, []*report.Report{one, two}), name); !strings.Contains(c.Note, "hikyaku: 2 gateways; other: the server") {
			t.Errorf("%+v", c.Note)
		}
	}
	if c := named(t, of(t, []*report.Report{reporttest.Recorded("burst")}, compare.Published...), "burst-queue"); c.Limits != nil {
		t.Errorf("%+v", c.Limits)
	}
}

// What remains at the end of a phase is no second of its own, and what is
// counted is not lost.
func TestSeconds(t *testing.T) {
	r := report.New("burst", "x", "1")
	r.MsgsPerS, r.Deliveries = 100, 200
	r.Series = []load.Second{
		{At: 1, Sent: 100, Delivered: 200, P95: 3},
		{At: 2, Sent: 100, Delivered: 200, P95: 1},
		{At: 2.1, Sent: 5, Delivered: 12, P95: 9},
		{At: 10, Sent: 50, Delivered: 100},
	}
	all := seconds(r, 100)
	if len(all) != 3 || all[1].Sent != 105 || all[1].P95 != 9 || all[1].At != 2.1 || all[2].start != 9 || all[0].recipients != 2 {
		t.Fatalf("%+v", all)
	}
	if got := all[1].per(all[1].Sent); math.Abs(got-105/1.1) > 1e-9 {
		t.Errorf("%v/s", got)
	}
}

// Hours are drawn with few points, and no peak is lost.
func TestLongRun(t *testing.T) {
	r := report.New("soak", "x", "1")
	sent, peak := int64(0), int64(0)
	for i := range 8 * 3600 {
		s := load.Second{At: float64(i + 1), Sent: int64(i % 7), Delivered: 1, Queue: int64(i * 7919 % 104729), P50: 1, P95: 2, P99: 3, Heat: []int64{0, 1}}
		sent, peak = sent+s.Sent, max(peak, s.Queue)
		r.Series = append(r.Series, s)
	}
	r.HeatBounds, r.Sent, r.Delivered = load.HeatBoundsMS, sent, 1
	all := seconds(r, maxPoints)
	if len(all) > maxPoints || len(all) < maxPoints/2 {
		t.Fatalf("%d points", len(all))
	}
	for _, s := range all {
		sent -= s.Sent
	}
	if sent != 0 {
		t.Errorf("%d messages are lost", sent)
	}
	if got := slices.Max(named(t, of(t, []*report.Report{r}), "soak-queue").Lines[0].Y); got != float64(peak) {
		t.Errorf("the queue's peak is %v, not %d", got, peak)
	}
	if r.Series[0].Heat[1] != 1 {
		t.Error("the report itself was changed")
	}
}

// The map has the bands in which something is, and shares that add up.
func TestHeat(t *testing.T) {
	h := named(t, of(t, []*report.Report{reporttest.Recorded("latency")}), "latency-heat").Heat
	if len(h.From) == 0 || len(h.Bounds) >= len(load.HeatBoundsMS) {
		t.Fatalf("%d columns, %d bounds", len(h.From), len(h.Bounds))
	}
	used := make([]bool, len(h.Bounds)-1)
	for i, shares := range h.Shares {
		sum := 0.0
		for band, s := range shares {
			sum += s
			used[band] = used[band] || s > 0
		}
		if math.Abs(sum-1) > 0.001 || h.To[i] <= h.From[i] {
			t.Errorf("column %d from %v to %v adds up to %v", i, h.From[i], h.To[i], sum)
		}
	}
	if !used[0] || !used[len(used)-1] {
		t.Error("there are empty bands at an end")
	}
}

func TestSize(t *testing.T) {
	for _, s := range reporttest.Fanout().Steps {
		if want := fmt.Sprintf("room of %.0f", Recipients(s)); want != s.Label {
			t.Errorf("%s is %s", s.Label, want)
		}
	}
	if Recipients(&load.Result{}) != 0 {
		t.Error("a step of which nothing arrived has a size")
	}
}

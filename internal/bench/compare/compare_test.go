package compare_test

import (
	"bytes"
	"flag"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report/reporttest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// run is a run of a system with a p95 and a rate.
func run(target, label string, p95, rate float64) *report.Report {
	r := report.New("latency", target, "1")
	r.Parameters = map[string]string{"users": "200"}
	if label != "" {
		r.Parameters[compare.Label] = label
	}
	r.Sent, r.Rate, r.MsgsPerS = 1, rate, rate
	r.Latency.P95 = p95
	return r
}

func sortedNames(s compare.Set) []string {
	var all []string
	for _, g := range s.Groups {
		all = append(all, g.Name)
	}
	return all
}

func cells(t *testing.T, table compare.Table, name string) []compare.Cell {
	t.Helper()
	i := slices.IndexFunc(table.Rows, func(r compare.Row) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("there is no row %s", name)
	}
	return table.Rows[i].Cells
}

// Runs of the same are repetitions; whatever differs tells groups apart and is
// in their names.
func TestGroups(t *testing.T) {
	more := run("hikyaku", "", 1, 1)
	more.Parameters["users"] = "400"
	later := run("hikyaku", "", 1, 1)
	later.Versions.Target = "1.1"
	// at is a run of burst at an address and a rate.
	at := func(started, url, load string) *report.Report {
		r := run("hikyaku", "", 1, 1)
		r.Scenario = "burst"
		maps.Copy(r.Parameters, map[string]string{"url": url, "load": load})
		if started != "" {
			r.Parameters["started"] = started
		}
		return r
	}
	fewer := run("ejabberd", "", 2, 2)
	fewer.Parameters["users"] = "100"
	for _, c := range []struct {
		name    string
		reports []*report.Report
		want    []string
	}{
		{"repetitions", []*report.Report{run("hikyaku", "", 1, 1), run("hikyaku", "", 2, 2)}, []string{"hikyaku"}},
		{"systems", []*report.Report{run("hikyaku", "", 1, 1), run("ejabberd", "", 2, 2), run("hikyaku", "", 1, 1)}, []string{"hikyaku", "ejabberd"}},
		{"systems, of which one began at another rate", []*report.Report{run("hikyaku", "", 1, 1), fewer}, []string{"hikyaku", "ejabberd"}},
		{"labels", []*report.Report{run("hikyaku", "before", 1, 1), run("hikyaku", "after", 2, 2)}, []string{"before", "after"}},
		{"parameters", []*report.Report{run("hikyaku", "", 1, 1), more}, []string{"hikyaku (users 200)", "hikyaku (users 400)"}},
		{"versions", []*report.Report{run("hikyaku", "", 1, 1), later}, []string{"hikyaku", "hikyaku (1.1)"}},
		{"addresses", []*report.Report{at("", "http://a", "500"), at("", "http://b", "500")}, []string{"hikyaku (url http://a)", "hikyaku (url http://b)"}},
		{"rates", []*report.Report{at("", "http://a", "500"), at("", "http://a", "600")}, []string{"hikyaku (load 500)", "hikyaku (load 600)"}},
		{"started by the suite", []*report.Report{at("cluster", "http://a", "500"), at("cluster", "http://b", "600")}, []string{"hikyaku"}},
		{"started otherwise", []*report.Report{at("cluster", "http://a", "500"), at("embedded", "http://b", "600")}, []string{"hikyaku (started cluster)", "hikyaku (started embedded)"}},
	} {
		sets := compare.Sets(c.reports)
		if len(sets) != 1 {
			t.Fatalf("%s: %d sets", c.name, len(sets))
		}
		if got := sortedNames(sets[0]); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
	sets := compare.Sets([]*report.Report{run("hikyaku", "", 1, 1), reporttest.Connections()}, compare.Published...)
	if len(sets) != 2 || len(sets[0].Groups) != 2 || len(sets[1].Groups) != 2 || sets[1].Groups[0].Reference == nil {
		t.Errorf("%+v", sets)
	}
}

func TestSpreadAndRatio(t *testing.T) {
	tables := compare.Tables(compare.Sets([]*report.Report{
		run("a", "", 10, 1000), run("a", "", 14, 1000), run("a", "", 12, 1000),
		run("b", "", 13, 3000), run("b", "", 25, 3000),
		run("c", "", 30, 500),
	}))
	got := cells(t, tables[0], "p95")
	want := []compare.Cell{
		{Runs: 3, Median: 12, Min: 10, Max: 14, Spread: 4.0 / 12},
		{Runs: 2, Median: 19, Min: 13, Max: 25, Spread: 12.0 / 19, Ratio: 19.0 / 12, Doubt: compare.Within},
		{Runs: 1, Median: 30, Min: 30, Max: 30, Ratio: 2.5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := cells(t, tables[0], "msgs_per_s"); got[1].Ratio != 3 || got[1].Doubt != compare.NoDoubt {
		t.Errorf("%+v", got)
	}
	if got := cells(t, tables[0], "lost"); got[1].Doubt != compare.NoDoubt || got[1].Ratio != 0 {
		t.Errorf("nothing lost on both sides is no difference, and has no ratio: %+v", got)
	}
}

// With one run each, the significance of a difference is unknown.
func TestOneRunEach(t *testing.T) {
	table := compare.Tables(compare.Sets([]*report.Report{run("a", "", 10, 1000), run("b", "", 5, 1000)}))[0]
	if got := cells(t, table, "p95"); got[1].Doubt != compare.Unknown || got[1].Ratio != 0.5 {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(strings.Join(table.Notes, "\n"), "One run of each") {
		t.Errorf("%q", table.Notes)
	}
}

// What a message costs stands beside the rates, if the server was looked at and
// not the tool alone; the machine's speed is neither better nor worse.
func TestCost(t *testing.T) {
	dear, cheap, alone := reporttest.Costed(), reporttest.Costed(), reporttest.Costed()
	cheap.Target, alone.Target = "cheap", "alone"
	cheap.Cost.Together.CPU, cheap.Cost.Together.Switches = dear.Cost.Together.CPU/4, &cost.Switches{Voluntary: 2, Involuntary: 1}
	alone.Cost.Processes = alone.Cost.Processes[len(alone.Cost.Processes)-1:]
	table := compare.Tables(compare.Sets([]*report.Report{dear, cheap, alone}))[0]
	if got := cells(t, table, "cpu_per_million"); got[1].Ratio != 0.25 || got[2].Runs != 0 {
		t.Errorf("%+v", got)
	}
	// Of one of the first one's workers they are not known.
	if got := cells(t, table, "switches_per_message"); got[0].Runs != 0 || got[1].Median != 3 || got[2].Runs != 0 {
		t.Errorf("%+v", got)
	}
	i := slices.IndexFunc(table.Rows, func(r compare.Row) bool { return r.Name == "context_switch" })
	if i < 0 || table.Rows[i].Better != compare.Neither || table.Rows[i].Cells[2].Median != 4.2 {
		t.Errorf("%+v", table.Rows)
	}
}

// Published figures have a ratio of their own, and never pass for measured ones.
func TestPublished(t *testing.T) {
	table := compare.Tables(compare.Sets([]*report.Report{run("a", "", 17, 12_000), run("b", "", 34, 6000)}, compare.Published...))[0]
	if !table.Columns[0].Published || table.Columns[1].Published || !strings.Contains(table.Notes[0], "not measured by this tool") {
		t.Errorf("%+v", table)
	}
	got := cells(t, table, "p95")
	if got[0].Median != 170 || got[0].Ratio != 0 || got[1].OfPublished != 0.1 || got[1].Ratio != 0 || got[2].Ratio != 2 || got[2].OfPublished != 0.2 {
		t.Errorf("%+v", got)
	}
}

// The published length of a broker's queue is shown, and compared to nothing.
func TestPublishedQueue(t *testing.T) {
	table := compare.Tables(compare.Sets([]*report.Report{reporttest.Recorded("burst")}, compare.Published...))[0]
	if len(table.Columns) != 1 || !strings.Contains(table.Notes[0], "the broker's own queue") {
		t.Errorf("%+v", table)
	}
	if got := cells(t, table, "queue_peak"); len(got) != 1 || got[0].Median != 1213 || got[0].OfPublished != 0 {
		t.Errorf("%+v", got)
	}
}

// What is worth a row only when it was seen has one for all groups as soon as a
// run has any of it; until all has arrived takes no time that is known where
// something is missing.
func TestSeen(t *testing.T) {
	whole, other := reporttest.Recorded("burst"), reporttest.Recorded("burst")
	other.Target = "other"
	both := []*report.Report{whole, other}
	for _, r := range compare.Tables(compare.Sets(both))[0].Rows {
		if r.Name == "repaired" || r.Name == "unasked" {
			t.Errorf("%+v", r)
		}
	}
	other.Repaired, other.HistoryUnavailable, other.Steps[0].Missing = 3, 2, 1
	table := compare.Tables(compare.Sets(both))[0]
	for name, want := range map[string]float64{"repaired": 3, "unasked": 2} {
		if got := cells(t, table, name); got[0].Median != 0 || got[0].Runs != 1 || got[1].Median != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := cells(t, table, "queue_drain"); got[0].Runs != 1 || got[1].Runs != 0 {
		t.Errorf("%+v", got)
	}
}

// A table names the processes whose memory it shows.
func TestServer(t *testing.T) {
	r := reporttest.Connections()
	r.Parameters[report.ServerParameter] = "2 gateways"
	notes := compare.Tables(compare.Sets([]*report.Report{r}))[0].Notes
	if !slices.Contains(notes, "hikyaku: the server's memory and processors are those of 2 gateways.") {
		t.Errorf("%q", notes)
	}
	r = run("hikyaku", "", 1, 1)
	r.Parameters[report.ServerParameter] = "2 gateways"
	if notes := compare.Tables(compare.Sets([]*report.Report{r}))[0].Notes; len(notes) > 0 {
		t.Errorf("there is no memory in it: %q", notes)
	}
}

// Every figure is a number that can be written down, whatever a report holds.
func TestNumbers(t *testing.T) {
	reports := append(reporttest.All(), report.New("latency", "x", "1"), report.New("burst", "x", "1"), report.New("soak", "x", "1"),
		report.New("connections", "x", "1"), report.New("reconnect", "x", "1"), report.New("fanout", "x", "1"))
	for _, table := range compare.Tables(compare.Sets(reports)) {
		for _, r := range table.Rows {
			for _, c := range r.Cells {
				for _, v := range []float64{c.Median, c.Ratio, c.Spread, c.OfPublished} {
					if math.IsNaN(v) || math.IsInf(v, 0) {
						t.Errorf("%s %s: %+v", table.Scenario, r.Name, c)
					}
				}
			}
		}
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	reports := append(reporttest.All(), reporttest.Recorded("latency-again"))
	again := reporttest.Recorded("latency-again")
	again.Parameters[compare.Label] = "after a change"
	if err := compare.WriteTable(&b, compare.Tables(compare.Sets(append(reports, again), compare.Published...))); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/table.txt", b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/table.txt")
	if err != nil || b.String() != string(want) {
		t.Errorf("testdata/table.txt is not what it was (go test ./internal/bench/compare -update writes it anew): %v\n%s", err, b.String())
	}
}

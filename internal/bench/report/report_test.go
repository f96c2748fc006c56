package report_test

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/machine"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sample() *report.Report {
	r := report.New("latency", "hikyaku", "1.0.0")
	r.At = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	r.Machine = report.Machine{OS: "linux", Arch: "amd64", Processor: "a processor", Cores: 2, MemoryMiB: 24000}
	r.Versions = report.Versions{Tool: "1.0.0", Revision: "0123456789abcdef", Go: "go1.26", Target: "1.0.1"}
	r.Parameters["users"] = "200"
	r.Verdict = audit.Verdict{
		Sent: 1000, Accepted: 990, Refused: 7, Failed: 1, Unanswered: 2, Delivered: 1979,
		Lost: 1, Duplicated: 2, OutOfOrder: 3, Foreign: 4, Violations: []string{"conversation 0: message 1 of person 0 was accepted and is not stored"},
	}
	step := &load.Result{
		Rate: 500, Sent: 1000, Accepted: 990, Refused: 7, Failed: 1, Delivered: 1979, Missing: 1, PerSecond: 499.5,
		Latency: load.Latency{P50: 1, P90: 2, P95: 3, P99: 4, P999: 5, Max: 6}, Answer: load.Latency{P50: 0.5}, Lag: load.Latency{P99: 0.25},
		Receipts: 998.5, Complete: load.Latency{P50: 1.5}, DrainS: 0.5, Label: "500/s", From: 1, To: 3,
	}
	r.Series = []load.Second{{At: 1, Sent: 500, Accepted: 495, Refused: 3, Delivered: 990, InFlight: 4, Connected: 200, P50: 1, P95: 3, P99: 4, Heat: []int64{900, 90}, MemoryMiB: 50, CPU: 1.5}}
	r.HeatBounds = []float64{1, 2}
	r.Steps = append(r.Steps, step)
	r.Machine.Speed = &machine.Speed{ContextSwitchUS: 4.2, SyscallNS: 157, GoroutineNS: 176}
	part := func(v float64) *float64 { return &v }
	step.Cost = &cost.Cost{
		Messages: 990, Seconds: 2, MachineSwitches: 30,
		Processes: []cost.Process{{Name: "gateway", Count: 2, CPU: 200, System: part(120), Switches: &cost.Switches{Voluntary: 9, Involuntary: 1}, WaitMS: part(2)}},
		Together:  cost.Process{Name: "together", Count: 2, CPU: 200, System: part(120), Switches: &cost.Switches{Voluntary: 9, Involuntary: 1}, WaitMS: part(2)},
		Hops:      []cost.Hop{{Process: "gateway", Name: "publish", Batches: 0.5, Items: 2}},
	}
	r.SetFigures(step)
	r.Limit = "at 750/s 3 messages were refused"
	r.Notes = []string{"at 500/s the tool itself sent late"}
	return r
}

func TestGolden(t *testing.T) {
	for name, write := range map[string]func(*report.Report, *bytes.Buffer) error{
		"report.json": func(r *report.Report, b *bytes.Buffer) error { return r.WriteJSON(b) },
		"summary.txt": func(r *report.Report, b *bytes.Buffer) error { return r.WriteSummary(b) },
	} {
		var b bytes.Buffer
		if err := write(sample(), &b); err != nil {
			t.Fatal(err)
		}
		path := "testdata/" + name
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || b.String() != string(want) {
			t.Errorf("%s is not what it was (go test ./internal/bench/report -update writes it anew): %v\n%s", path, err, b.String())
		}
	}
}

// Every field is described in docs/bench.md.
func TestFieldsAreDescribed(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/bench.md")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "  "), ":"); ok && strings.HasPrefix(name, `"`) && name != `"schema"` {
			if !strings.Contains(string(docs), "`"+strings.Trim(name, `"`)+"`") {
				t.Errorf("%s is not in docs/bench.md", name)
			}
		}
	}
}

func TestThisMachine(t *testing.T) {
	m := report.New("latency", "hikyaku", "1").Machine
	if m.Cores < 1 || m.OS == "" || m.OS == "linux" && m.MemoryMiB == 0 {
		t.Errorf("%+v", m)
	}
}

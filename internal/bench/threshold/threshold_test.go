package threshold_test

import (
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report/reporttest"
	"github.com/hikyaku-chat/hikyaku/internal/bench/threshold"
)

func TestConditions(t *testing.T) {
	r := &report.Report{
		Verdict: audit.Verdict{Sent: 1000, Lost: 1}, Rate: 8000, MsgsPerS: 7950.4,
		Latency: load.Latency{P95: 170, P99: 210.25}, Answer: load.Latency{P95: 20}, Lag: load.Latency{Max: 3},
	}
	for text, want := range map[string]string{
		"p95>170ms":           "",
		"p95 >= 170ms":        "p95 >= 170ms (it is 170.0 ms)",
		"p95>0.169s":          "p95>0.169s (it is 170.0 ms)",
		"p99 > 200ms":         "p99 > 200ms (it is 210.2 ms)",
		"accepted_p95>19.9ms": "accepted_p95>19.9ms (it is 20.0 ms)",
		"send_lag_max<=3ms":   "send_lag_max<=3ms (it is 3.0 ms)",
		"lost>0":              "lost>0 (it is 1)",
		"lost != 1":           "",
		"duplicated>0":        "",
		"sent==1000":          "sent==1000 (it is 1000)",
		"rate<8000/s":         "",
		"msgs_per_s<8000":     "msgs_per_s<8000 (it is 7950/s)",
	} {
		c, err := threshold.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if fails, got := c.Fails(r); got != want || fails != (want != "") {
			t.Errorf("%s: %v %q, want %q", text, fails, got, want)
		}
	}
}

// What a run did not measure meets no condition's mercy.
func TestWhatWasNotMeasured(t *testing.T) {
	for _, text := range []string{"p95>170ms", "connect_p99>1s", "bytes_each>5000", "connections<10", "mib_per_hour>1", "all_synced>1m"} {
		c, err := threshold.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if fails, why := c.Fails(&report.Report{}); !fails || !strings.Contains(why, "not measured") {
			t.Errorf("%s: %v, %q", text, fails, why)
		}
	}
}

// What a message cost is known where the server was looked at.
func TestCost(t *testing.T) {
	r := reporttest.Costed()
	r.Cost.Together.CPU, r.Cost.Together.Switches = 450, &cost.Switches{Voluntary: 5, Involuntary: 1.5}
	for text, want := range map[string]bool{
		"cpu_per_million>450": false, "cpu_per_million>=450": true, "switches_per_message>6": true, "switches_per_message>6.5": false,
	} {
		c, err := threshold.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if fails, why := c.Fails(r); fails != want {
			t.Errorf("%s: %v, %q", text, fails, why)
		}
	}
	r.Cost.Together.CPU = 450 + 1.0/3
	c, err := threshold.Parse("cpu_per_million>450")
	if err != nil {
		t.Fatal(err)
	}
	if fails, why := c.Fails(r); !fails || why != "cpu_per_million>450 (it is 450.333)" {
		t.Errorf("%v, %q", fails, why)
	}
	r.Cost.Processes = r.Cost.Processes[len(r.Cost.Processes)-1:]
	for _, text := range []string{"cpu_per_million>9999999", "switches_per_message>9999999"} {
		c, err := threshold.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if fails, why := c.Fails(r); !fails || !strings.Contains(why, "not measured") {
			t.Errorf("%s: %v, %q", text, fails, why)
		}
	}
}

func TestBadConditions(t *testing.T) {
	for text, says := range map[string]string{
		"":           "compares nothing",
		"p95":        "compares nothing",
		"p94>1ms":    `no figure "p94"`,
		"p95=170ms":  "no comparison",
		"p95>170":    "is no time",
		"p95>-1ms":   "is no time",
		"lost>none":  "is no number",
		"lost>1ms":   "is no number",
		"lost>NaN":   "is no number",
		"lost>":      "is no number",
		">0":         "no figure",
		"rate<10/ms": "is no number",
	} {
		if _, err := threshold.Parse(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("p95>170ms")
	f.Add("lost != 0")
	f.Fuzz(func(_ *testing.T, text string) {
		if c, err := threshold.Parse(text); err == nil {
			c.Fails(&report.Report{})
		}
	})
}

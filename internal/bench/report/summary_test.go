package report_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report/reporttest"
)

// written returns the summary.
func written(t *testing.T, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteSummary(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Nothing is claimed of what is stored where that could not be asked for.
func TestHistoryUnavailable(t *testing.T) {
	r := reporttest.Fanout()
	if got := r.Judgement(); !strings.Contains(got, "are stored") || strings.Contains(got, "could not be asked for") {
		t.Error(got)
	}
	r.HistoryUnavailable = 100
	const want = "What is stored could not be asked for, in 100 conversations."
	if got := r.Judgement(); strings.Contains(got, "are stored") || !strings.Contains(got, "reached every device once") || !strings.Contains(got, want) {
		t.Error(got)
	}
	if got := written(t, r); !strings.Contains(got, want) {
		t.Error(got)
	}
	r.Lost = 1
	if got := r.Judgement(); !strings.Contains(got, "1 lost") || !strings.Contains(got, want) {
		t.Error(got)
	}
}

// Receipts that a device had to request violate no guarantee, and are reported.
func TestRepaired(t *testing.T) {
	r := reporttest.Fanout()
	if got := written(t, r); strings.Contains(got, "asked for them") {
		t.Error(got)
	}
	r.Repaired = 1200
	for _, got := range []string{r.Judgement(), written(t, r)} {
		if !strings.Contains(got, "1,200 receipts came because their device asked for them") {
			t.Error(got)
		}
	}
	if !r.Passed() || strings.Contains(r.Judgement(), "broken") {
		t.Error(r.Judgement())
	}
}

// A burst of which something is still missing has not all arrived, and what was
// sent is what was, not what was asked for.
func TestBurstHeadline(t *testing.T) {
	r := reporttest.Recorded("burst")
	r.Steps[0].Sent = 1_100_000
	if got := r.Headline(); !strings.Contains(got, "1,100,000 were sent (60,000/s asked for)") || !strings.Contains(got, "all had arrived 0.32 s") {
		t.Error(got)
	}
	r.Steps[0].Missing, r.Queue.DrainS = 12, 300
	if got := r.Headline(); strings.Contains(got, "all had arrived") || !strings.Contains(got, "12 receipts had still not come 5 min after") {
		t.Error(got)
	}
}

// The summary names the processes whose memory and processors it shows.
func TestServer(t *testing.T) {
	ofServer := regexp.MustCompile("memory of the server|the server at most")
	for _, r := range []*report.Report{reporttest.Connections(), reporttest.Reconnect(), reporttest.Soak()} {
		if got := written(t, r); !ofServer.MatchString(got) {
			t.Error(got)
		}
		r.Parameters[report.ServerParameter] = "2 gateways"
		if got := written(t, r); !strings.Contains(got, "2 gateways ") || ofServer.MatchString(got) {
			t.Error(got)
		}
	}
}

// Where only the tool was looked at, nothing is claimed of the server.
func TestCostOfTheToolAlone(t *testing.T) {
	r := reporttest.Costed()
	if got := written(t, r); strings.Contains(got, "were not looked at") || !strings.Contains(got, "CPU s/mill.") {
		t.Error(got)
	}
	for _, s := range r.Steps {
		s.Cost.Processes = s.Cost.Processes[len(s.Cost.Processes)-1:]
	}
	if got := written(t, r); !strings.Contains(got, "the server's processes were not looked at (--server-pid") || strings.Contains(got, "CPU s/mill.") {
		t.Error(got)
	}
}

// Where no rate was sustained, what the last one cost is shown.
func TestCostWithoutARate(t *testing.T) {
	r := reporttest.Costed()
	last := r.Steps[len(r.Steps)-1]
	if label, c := r.CostStep(); c != r.Cost || c == last.Cost || label != "43249/s" {
		t.Errorf("%s", label)
	}
	r.Rate, r.Cost = 0, nil
	if label, c := r.CostStep(); c != last.Cost || label != last.Label {
		t.Errorf("%s", label)
	}
}

package reporttest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report/reporttest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what it was (go test ./internal/bench/report/... -update writes it anew): %v\n%s", path, err, got)
	}
}

// The files of the reports that are made up, which the tests in a browser read,
// are what the functions make.
func TestFiles(t *testing.T) {
	for name, r := range map[string]*report.Report{
		"connections": reporttest.Connections(), "fanout": reporttest.Fanout(), "reconnect": reporttest.Reconnect(), "soak": reporttest.Soak(),
		"latency-cost": reporttest.Costed(),
	} {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", append(b, '\n'))
	}
}

// The summary of each scenario in the terminal.
func TestSummaries(t *testing.T) {
	summaries := map[string]*report.Report{"latency-cost": reporttest.Costed()}
	for _, r := range reporttest.All() {
		summaries[r.Scenario] = r
	}
	for name, r := range summaries {
		var b bytes.Buffer
		if err := r.WriteSummary(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/"+name+".txt", b.Bytes())
	}
}

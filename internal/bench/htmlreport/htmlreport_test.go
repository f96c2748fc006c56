package htmlreport

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report/reporttest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var built = fstest.MapFS{"report.js": {Data: []byte("draw()")}, "report.css": {Data: []byte("body{}")}}

var data = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// Whatever a run's texts are, they stay texts: the page has its own two scripts
// and no more, and the data is what was put in.
func TestTextsStayTexts(t *testing.T) {
	bad := `</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> & "'` + "\u2028"
	r := reporttest.Soak()
	r.Scenario, r.Target, r.Limit = "x"+bad, bad, bad
	r.Parameters = map[string]string{bad: bad, compare.Label: bad}
	r.Machine.Processor, r.Versions.Target, r.Steps[0].Label = bad, bad, bad
	r.Violations, r.Notes, r.Acts[0].Name, r.Acts[0].Error = []string{bad}, []string{bad}, bad, bad
	p := newPage([]*report.Report{r, r}, nil)
	var b bytes.Buffer
	if err := write(&b, built, p); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if n := strings.Count(text, "<script"); n != 2 || strings.Count(text, "</script") != 2 || strings.Contains(text, "<img") || strings.Contains(text, "<!--") {
		t.Errorf("%d scripts in\n%s", n, text)
	}
	var got Page
	if err := json.Unmarshal([]byte(data.FindStringSubmatch(text)[1]), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Errorf("the data is not what was put in: %s", diff)
	}
}

// The page may run only its own script, and load nothing.
func TestPolicy(t *testing.T) {
	var b bytes.Buffer
	if err := write(&b, built, Page{Title: "T"}); err != nil {
		t.Fatal(err)
	}
	// printf 'draw()' | openssl dgst -sha256 -binary | base64, and of body{}
	for _, want := range []string{
		"default-src 'none'", "script-src 'sha256-jm3FkV4tNIdBUr8jRVVl5n9PUixlaxTWD0pdpFiSH5A='", "style-src 'sha256-fJgEClQWV1hGkK4qHMO0KotTsVnMYMXTq7/suurGyUo='",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in the page's policy: %s", want, b.String())
		}
	}
	for _, never := range []string{"http://", "https://", "unsafe-inline", "src=", "url("} {
		if strings.Contains(b.String(), never) {
			t.Errorf("%s is in the page", never)
		}
	}
}

func TestNotBuilt(t *testing.T) {
	if err := write(&bytes.Buffer{}, fstest.MapFS{}, Page{}); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("%v", err)
	}
	broken := fstest.MapFS{"report.js": {Data: []byte(`"</SCRIPT>"`)}, "report.css": {Data: []byte("")}}
	if err := write(&bytes.Buffer{}, broken, Page{}); err == nil {
		t.Error("a script that ends its own element is taken")
	}
}

// What the page says of each scenario.
func TestDocument(t *testing.T) {
	var b bytes.Buffer
	for _, s := range newPage(append(reporttest.All(), reporttest.Recorded("latency-again")), compare.Published).Sections {
		fmt.Fprintf(&b, "# %s: %s\n", s.Title, s.Lead)
		if s.Compared != nil {
			fmt.Fprintf(&b, "compared: %d columns, %d rows\n", len(s.Compared.Columns), len(s.Compared.Rows))
		}
		for _, r := range s.Runs {
			fmt.Fprintf(&b, "\n%s (%s; %s): %s\n%s\n%+v\n", r.Name, r.System, r.Machine, r.Headline, r.Limit, r.Verdict)
			for _, f := range r.Figures {
				fmt.Fprintf(&b, "  [%s] %s %s\n", f.Label, f.Value, f.Unit)
			}
			fmt.Fprintf(&b, "offenders %q, notes %q\n", r.Violations, r.Notes)
			for _, l := range r.Listings {
				fmt.Fprintf(&b, "%s %q\n  %q\n", l.Title, l.Head, l.Rows[len(l.Rows)-1])
			}
			fmt.Fprintf(&b, "%+v\n", r.Facts)
		}
		b.WriteString("\n")
		for _, c := range s.Charts {
			fmt.Fprintf(&b, "%s: %s (%d lines)\n", c.Name, c.Title, len(c.Lines))
		}
		b.WriteString("\n")
	}
	golden(t, "testdata/page.txt", b.Bytes())
}

// What was not seen or not asked for is not claimed.
func TestUncertain(t *testing.T) {
	r := reporttest.Recorded("burst")
	r.HistoryUnavailable, r.Repaired, r.Steps[0].Missing = 5, 7, 12
	r.Parameters["server"] = "2 gateways"
	run := newPage([]*report.Report{r}, nil).Sections[0].Runs[0]
	if run.Verdict.Title != "Promises kept, as far as could be asked" || strings.Contains(run.Verdict.Words, "are stored") {
		t.Errorf("%+v", run.Verdict)
	}
	if tile := run.Figures[2]; tile.Label != "receipts still missing after 0.32 s" || tile.Value != "12" {
		t.Errorf("%+v", tile)
	}
	account := run.Facts[0].Facts
	for _, want := range []Fact{{"of them asked for by a device", "7"}, {"histories that could not be asked for", "5"}} {
		if !slices.Contains(account, want) {
			t.Errorf("%v is not in %v", want, account)
		}
	}
	c := reporttest.Connections()
	c.Parameters["server"] = "2 gateways"
	if tiles := newPage([]*report.Report{c}, nil).Sections[0].Runs[0].Figures; tiles[4].Label != "memory of 2 gateways for each" {
		t.Errorf("%+v", tiles)
	}
}

// What a message cost has a table in full, and one over all rates.
func TestCost(t *testing.T) {
	run := newPage([]*report.Report{reporttest.Costed()}, nil).Sections[0].Runs[0]
	var b bytes.Buffer
	for _, l := range run.Listings[1:] {
		fmt.Fprintf(&b, "%s: %s\n%q\n", l.Title, l.Lead, l.Head)
		for _, row := range l.Rows {
			fmt.Fprintf(&b, "  %q\n", row)
		}
	}
	fmt.Fprintf(&b, "%+v\n%+v\n", run.Figures, run.Facts[len(run.Facts)-1])
	golden(t, "testdata/cost.txt", b.Bytes())
}

// The types of the page's script are made from this.
func TestSchema(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../../web/spec/bench.json")
	if err != nil || string(got)+"\n" != string(want) {
		t.Errorf("web/spec/bench.json is not what the Go types say (make generate writes it anew): %v", err)
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what it was (go test ./internal/bench/htmlreport -update writes it anew): %v\n%s", path, err, cmp.Diff(string(want), string(got)))
	}
}

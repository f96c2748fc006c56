// Package htmlreport writes reports as one self-contained HTML page: it needs
// no server and no other file, and makes no request.
package htmlreport

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/chart"
	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/machine"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Page is the data of the page, as text and numbers. Its script only lays it
// out.
type Page struct {
	Title    string    `json:"title"`
	Sections []Section `json:"sections"`
}

// Section is a scenario.
type Section struct {
	Scenario string         `json:"scenario"`
	Title    string         `json:"title"`
	Lead     string         `json:"lead"` // what the scenario does
	Runs     []Run          `json:"runs"`
	Compared *compare.Table `json:"compared,omitempty"` // with something beside it
	Charts   []chart.Chart  `json:"charts"`
}

// Run is one run.
type Run struct {
	Name       string    `json:"name"`
	Tone       int       `json:"tone"` // the color of its lines, where there are several
	At         time.Time `json:"at"`
	System     string    `json:"system"`
	Machine    string    `json:"machine"` // of the load tool
	Headline   string    `json:"headline"`
	Limit      string    `json:"limit"` // why it ended
	Verdict    Verdict   `json:"verdict"`
	Figures    []Tile    `json:"figures"`
	Notes      []string  `json:"notes"`
	Listings   []Listing `json:"listings"`
	Facts      []Facts   `json:"facts"`
	Violations []string  `json:"offenders"`
}

// Verdict says whether the guarantees were kept.
type Verdict struct {
	Title   string `json:"title"`
	Kept    bool   `json:"kept"`
	Checked bool   `json:"checked"` // there was anything to keep
	Words   string `json:"words"`
}

// Tile is one of the main figures.
type Tile struct {
	Label string `json:"label"`
	Value string `json:"value"`
	Unit  string `json:"unit"`
}

// Listing is a table of text and numbers; the first column names each row.
type Listing struct {
	Title string     `json:"title"`
	Lead  string     `json:"lead"` // what a reader must know before; may be empty
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

// Facts are named values of a run.
type Facts struct {
	Title string `json:"title"`
	Facts []Fact `json:"facts"`
}

// Fact is one of them.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// scenarios describes each scenario.
var scenarios = map[string]struct{ title, lead string }{
	"latency":     {"Latency", "How fast messages arrive at rising rates, and the highest rate that is sustained."},
	"burst":       {"Burst", "Far more than is sustainable for a while, and how long it takes until all of it has arrived."},
	"connections": {"Connections", "Many connections that are opened and kept: how many succeed, how fast, and what each costs."},
	"fanout":      {"Fan-out", "Rooms of rising size: how long it takes until the last member has a message."},
	"reconnect":   {"Reconnect", "Everyone is cut off at once and comes back: how long it takes until nobody misses anything."},
	"soak":        {"Soak", "Mixed behaviour of people for a long time: how memory and latency drift."},
}

// newPage returns the data of the page.
func newPage(reports []*report.Report, references []compare.Reference) Page {
	p := Page{}
	var titles []string
	for _, set := range compare.Sets(reports, references...) {
		a, known := scenarios[set.Scenario]
		if !known {
			a.title = set.Scenario
		}
		s := Section{Scenario: set.Scenario, Title: a.title, Lead: a.lead, Charts: chart.ForSet(set)}
		tone, all := 0, 0
		for _, g := range set.Groups {
			if g.Reference != nil {
				continue
			}
			for i, r := range g.Reports {
				name := g.Name
				if len(g.Reports) > 1 {
					name = fmt.Sprintf("%s, run %d of %d", g.Name, i+1, len(g.Reports))
				}
				s.Runs = append(s.Runs, newRun(r, name, tone))
				all++
			}
			tone++
		}
		if all > 1 || len(set.Groups) > 1 {
			s.Compared = &compare.Tables([]compare.Set{set})[0]
		}
		titles = append(titles, a.title)
		p.Sections = append(p.Sections, s)
	}
	p.Title = strings.Join(titles, ", ")
	return p
}

func newRun(r *report.Report, name string, tone int) Run {
	run := Run{
		Name: name, Tone: tone, At: r.At, System: joinNonEmpty(" ", r.Target, r.Versions.Target),
		Machine: joinNonEmpty(", ", r.Machine.Processor, humanize.Number(float64(r.Machine.Cores))+" cores", memory(r.Machine.MemoryMiB)), Headline: r.Headline(), Limit: r.Limit,
		Verdict: verdict(r),
		Figures: tiles(r), Notes: r.Warnings(), Violations: r.Violations, Listings: listings(r),
	}
	run.Facts = []Facts{
		{"Every message", messageFacts(r)},
		{"System and machine", facts(
			"system", r.Target, "version", r.Versions.Target, "processor", r.Machine.Processor, "cores", humanize.Number(float64(r.Machine.Cores)), "memory", memory(r.Machine.MemoryMiB),
			"platform", r.Machine.OS+"/"+r.Machine.Arch, "tool", "hikyaku "+r.Versions.Tool, "revision", r.Versions.Revision, "Go", r.Versions.Go,
		)},
		{"Parameters", parameters(r)},
	}
	if speed := speedFacts(r.Machine.Speed); len(speed) > 0 {
		run.Facts = append(run.Facts, Facts{"The machine's speed before the run", speed})
	}
	return run
}

func verdict(r *report.Report) Verdict {
	v := Verdict{Kept: r.Passed(), Checked: r.Sent > 0, Words: r.Judgement()}
	switch {
	case !v.Checked:
		v.Title = "Nothing to check"
	case !v.Kept:
		v.Title = "Promises broken"
	case r.HistoryUnavailable > 0:
		v.Title = "Promises kept, as far as could be asked"
	default:
		v.Title = "Promises kept"
	}
	return v
}

// joinNonEmpty joins the words that are not empty.
func joinNonEmpty(between string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), between)
}

func memory(mib int64) string {
	if mib == 0 {
		return ""
	}
	return humanize.Number(float64(mib)/1024) + " GiB"
}

// facts pairs names with values, and leaves out empty values.
func facts(namesAndValues ...string) []Fact {
	var all []Fact
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] != "" {
			all = append(all, Fact{Name: namesAndValues[i], Value: namesAndValues[i+1]})
		}
	}
	return all
}

func speedFacts(s *machine.Speed) (all []Fact) {
	if s == nil {
		return nil
	}
	for _, f := range s.Figures() {
		all = append(all, Fact{Name: f.Name, Value: f.Value})
	}
	return append(all, facts("folder of the fdatasync", s.FdatasyncIn)...)
}

func parameters(r *report.Report) []Fact {
	var all []Fact
	for name, value := range r.Parameters {
		all = append(all, Fact{Name: strings.ReplaceAll(name, "_", "-"), Value: value})
	}
	slices.SortFunc(all, func(a, b Fact) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

package compare

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Table is the figures of one scenario side by side.
type Table struct {
	Scenario string   `json:"scenario"`
	Columns  []Column `json:"columns"`
	Rows     []Row    `json:"rows"`
	Notes    []string `json:"notes"`
}

// Column is a group.
type Column struct {
	Name      string `json:"name"`
	Runs      int    `json:"runs"`
	Published bool   `json:"published"` // not measured here
}

// Row is a metric.
type Row struct {
	Name   string        `json:"name"`
	Label  string        `json:"label"`
	Unit   humanize.Unit `json:"unit"`
	Better Better        `json:"better"`
	Cells  []Cell        `json:"cells"` // one for each column
}

// Cell is what the runs of a group measured. Runs is 0 if none did.
type Cell struct {
	Runs   int     `json:"runs"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Spread float64 `json:"spread"` // of the runs, from the least to the most, as a part of the median
	Ratio  float64 `json:"ratio"`  // to the first group that was measured; 0 in that group itself, and for what was published
	Doubt  Doubt   `json:"doubt"`
	// OfPublished is the ratio to the first published figure; 0 when there is none.
	OfPublished float64 `json:"of_published"`
}

// Doubt says whether a difference from the first group is significant.
type Doubt string

// The doubts.
const (
	NoDoubt Doubt = ""
	Within  Doubt = "within"  // the runs of both overlap: it may be chance
	Unknown Doubt = "unknown" // there is one run of each
)

// Tables returns one table for each set.
func Tables(sets []Set) []Table {
	tables := make([]Table, len(sets))
	for i, s := range sets {
		tables[i] = table(s)
	}
	return tables
}

func table(s Set) Table {
	t := Table{Scenario: s.Scenario}
	measured, repeated := 0, false
	var groups []Group // with figures
	for _, g := range s.Groups {
		if g.Reference != nil && len(g.Reference.Figures) == 0 {
			t.Notes = append(t.Notes, g.Name+": "+g.Reference.Source)
			continue
		}
		groups = append(groups, g)
		t.Columns = append(t.Columns, Column{Name: g.Name, Runs: len(g.Reports), Published: g.Reference != nil})
		if g.Reference != nil {
			t.Notes = append(t.Notes, g.Name+": "+g.Reference.Source)
			continue
		}
		measured++
		repeated = repeated || len(g.Reports) > 1
	}
	for i := range metrics {
		if m := &metrics[i]; m.appliesTo(s.Scenario) {
			if row, any := m.row(groups); any {
				t.Rows = append(t.Rows, row)
			}
		}
	}
	t.Notes = append(t.Notes, t.processNotes(groups)...)
	t.Notes = append(t.Notes, t.doubtNotes(measured, repeated)...)
	return t
}

func (m *metric) row(groups []Group) (row Row, measured bool) {
	row = Row{Name: m.name, Label: m.label, Unit: m.unit, Better: m.better}
	first, published := Cell{}, Cell{}
	for _, g := range groups {
		c := summarize(m.values(g))
		switch {
		case c.Runs == 0:
		case g.Reference != nil:
			if published.Runs == 0 {
				published = c
			}
		default:
			if published.Median != 0 && m.unit != humanize.Percent {
				c.OfPublished = c.Median / published.Median
			}
			if first.Runs == 0 {
				first = c
			} else {
				c.compare(first)
				if m.unit == humanize.Percent {
					c.Ratio = 0 // parts of a whole speak for themselves
				}
			}
		}
		row.Cells = append(row.Cells, c)
	}
	if slices.Contains(onlyNonZero, m.name) && !slices.ContainsFunc(row.Cells, func(c Cell) bool { return c.Max > 0 }) {
		return row, false
	}
	return row, first.Runs > 0
}

// processNotes names the sampled processes of each group that has them.
func (t *Table) processNotes(groups []Group) []string {
	if !slices.ContainsFunc(t.Rows, func(r Row) bool { return slices.Contains(processMetrics, r.Name) }) {
		return nil
	}
	var notes []string
	for _, g := range groups {
		var of []string
		for _, r := range g.Reports {
			if name := r.Parameters[report.ServerParameter]; name != "" && !slices.Contains(of, name) {
				of = append(of, name)
			}
		}
		if len(of) > 0 {
			notes = append(notes, fmt.Sprintf("%s: the server's memory and processors are those of %s.", g.Name, strings.Join(of, ", or ")))
		}
	}
	return notes
}

func summarize(values []float64) Cell {
	if len(values) == 0 {
		return Cell{}
	}
	slices.Sort(values)
	n := len(values)
	c := Cell{Runs: n, Min: values[0], Max: values[n-1], Median: (values[(n-1)/2] + values[n/2]) / 2}
	if c.Median != 0 {
		c.Spread = (c.Max - c.Min) / math.Abs(c.Median)
	}
	return c
}

// compare compares a cell with the first one.
func (c *Cell) compare(first Cell) {
	if first.Median != 0 {
		c.Ratio = c.Median / first.Median
	}
	switch {
	case c.Min == first.Min && c.Max == first.Max && c.Min == c.Max:
	case c.Runs == 1 && first.Runs == 1:
		c.Doubt = Unknown
	case c.Min <= first.Max && first.Min <= c.Max:
		c.Doubt = Within
	}
}

// doubtNotes returns what a reader must know about the significance of
// differences.
func (t *Table) doubtNotes(measured int, repeated bool) []string {
	var notes []string
	within := slices.ContainsFunc(t.Rows, func(r Row) bool {
		return slices.ContainsFunc(r.Cells, func(c Cell) bool { return c.Doubt == Within })
	})
	switch {
	case measured < 2 && len(t.Columns) == measured && repeated:
		notes = append(notes, "All runs measured the same, so this is how far they lie apart. Give them names (before=A.json after=B.json) to compare them.")
	case measured >= 2 && !repeated:
		notes = append(notes, "One run of each: nothing is known of how far repeated runs lie apart, so small differences say nothing. Run each three times at least.")
	case within:
		notes = append(notes, "≈ marks a difference that is smaller than that between repeated runs: do not believe it.")
	}
	return notes
}

// WriteTable writes tables for a terminal.
func WriteTable(w io.Writer, tables []Table) error {
	var b strings.Builder
	for _, t := range tables {
		t.write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) write(b *strings.Builder) {
	lines := [][]string{{t.Scenario}, {""}}
	for _, c := range t.Columns {
		lines[0] = append(lines[0], c.Name)
		switch {
		case c.Published:
			lines[1] = append(lines[1], "not measured here")
		case c.Runs == 1:
			lines[1] = append(lines[1], "1 run")
		default:
			lines[1] = append(lines[1], fmt.Sprintf("%d runs", c.Runs))
		}
	}
	for _, r := range t.Rows {
		line := []string{r.Label}
		for _, c := range r.Cells {
			line = append(line, c.text(r.Unit))
		}
		lines = append(lines, line)
	}
	widths := make([]int, len(t.Columns)+1)
	for _, line := range lines {
		for i, text := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	b.WriteByte('\n')
	for n, line := range lines {
		text := ""
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			text += "  " + cell + pad
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
		if n == 1 {
			b.WriteByte('\n')
		}
	}
	for i, note := range t.Notes {
		if i == 0 {
			b.WriteByte('\n')
		}
		b.WriteString("  " + note + "\n")
	}
}

// text formats a cell in one line: the median, the range of the runs, and the
// ratios.
func (c Cell) text(u humanize.Unit) string {
	if c.Runs == 0 {
		return "–"
	}
	text := humanize.Format(c.Median, u)
	if c.Runs > 1 && c.Max > c.Min {
		text += fmt.Sprintf(" (%s–%s)", humanize.Number(c.Min), humanize.Format(c.Max, u))
	}
	if c.Ratio > 0 {
		text += "  ×" + humanize.Number(c.Ratio)
	}
	if c.Doubt == Within {
		text += " ≈"
	}
	if c.OfPublished > 0 {
		text += fmt.Sprintf("  (×%s of published)", humanize.Number(c.OfPublished))
	}
	return text
}

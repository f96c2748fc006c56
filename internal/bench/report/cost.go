package report

import (
	"fmt"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
)

// CostStep returns the step whose cost is shown in full: that of the figures, or
// the last one where no rate was sustained. It returns nil if none has a cost.
func (r *Report) CostStep() (label string, c *cost.Cost) {
	for _, s := range r.Steps {
		if s.Cost == nil {
			continue
		}
		label, c = s.Label, s.Cost
		if label == "" {
			label = humanize.Format(s.Rate, humanize.PerSecond)
		}
		if r.Rate == s.Rate && r.Latency == s.Latency {
			return label, c
		}
	}
	return label, c
}

// CostCells returns the figures of a process for a table, in the order of
// CostHead. What is not known is a dash.
func CostCells(p *cost.Process) []string {
	user, system, voluntary, involuntary, all, wait := "–", "–", "–", "–", "–", "–"
	if p.System != nil {
		user, system = humanize.Number(p.CPU-*p.System), humanize.Number(*p.System)
	}
	if s := p.Switches; s != nil {
		voluntary, involuntary, all = humanize.Number(s.Voluntary), humanize.Number(s.Involuntary), humanize.Number(s.All())
	}
	if p.WaitMS != nil {
		wait = humanize.Number(*p.WaitMS)
	}
	return []string{humanize.Number(p.CPU), user, system, all, voluntary, involuntary, wait}
}

// CostHead names the figures of CostCells.
func CostHead() []string {
	return []string{"CPU s", "user", "system", "switches", "voluntary", "involuntary", "wait ms"}
}

// ProcessLabel names a kind of process with how many there are.
func ProcessLabel(p *cost.Process) string {
	if p.Count == 1 {
		return p.Name
	}
	return fmt.Sprintf("%s ×%d", p.Name, p.Count)
}

// CostSentence says of a cost what is not in its table.
func CostSentence(c *cost.Cost) string {
	text := fmt.Sprintf("%s messages in %s, %s busy", humanize.Number(float64(c.Messages)), humanize.Format(c.Seconds, humanize.Seconds), humanize.Format(c.Busy(), humanize.Processors))
	if waiting, known := c.Waiting(); known {
		text += fmt.Sprintf(", %s threads waiting for one at a time", humanize.Number(waiting))
	}
	if c.MachineSwitches > 0 {
		text += fmt.Sprintf("; the whole machine switched %s times a message, to idle and for others included", humanize.Number(c.MachineSwitches))
	}
	if !c.OfServer() {
		text += "; the server's processes were not looked at (--server-pid, --server-metrics)"
	}
	return text
}

// writeCost writes what a message cost, by process and hop.
func (r *Report) writeCost(b *strings.Builder) {
	label, c := r.CostStep()
	if c == nil {
		return
	}
	width, shown := 10, c.Shown()
	for i := range shown {
		width = max(width, len([]rune(ProcessLabel(&shown[i]))))
	}
	for i := range c.Hops {
		width = max(width, len(c.Hops[i].Label()))
	}
	line := func(name string, cells []string) {
		fmt.Fprintf(b, "  %-*s", width, name)
		for _, cell := range cells {
			fmt.Fprintf(b, " %11s", cell)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "\n  What a message cost at %s (CPU-seconds for a million, the rest for each)\n", label)
	line("", CostHead())
	for i := range shown {
		line(ProcessLabel(&shown[i]), CostCells(&shown[i]))
	}
	line("together", CostCells(&c.Together))
	fmt.Fprintf(b, "  %s\n", CostSentence(c))
	if len(c.Hops) == 0 {
		return
	}
	b.WriteString("\n")
	line("", []string{"on average", "batches"})
	for i := range c.Hops {
		h := &c.Hops[i]
		line(h.Label(), []string{humanize.Number(h.Items), humanize.Number(h.Batches)})
	}
}

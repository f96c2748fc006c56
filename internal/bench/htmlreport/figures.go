package htmlreport

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

func tile(label string, v float64, u humanize.Unit) Tile {
	t := Tile{Label: label}
	t.Value, t.Unit = humanize.Split(v, u)
	return t
}

// tiles returns the main figures of a scenario.
func tiles(r *report.Report) []Tile {
	switch {
	case r.Scenario == "connections" && r.Connections != nil:
		c := r.Connections
		all := []Tile{
			tile("connections", float64(c.Succeeded), humanize.Count), tile("succeeded", c.Rate(), humanize.Percent),
			tile("connected", c.PerS, humanize.PerSecond), tile("time to connect, p95", c.Connect.P95, humanize.Milliseconds),
		}
		if c.BytesEach > 0 {
			all = append(all, tile("memory of "+r.Server()+" for each", c.BytesEach, humanize.Bytes))
		}
		for _, of := range []struct {
			label string
			v     float64
			unit  humanize.Unit
		}{
			{"memory of the load tool for each", c.ToolBytesEach, humanize.Bytes},
			{"memory of the machine for each", c.MachineBytesEach, humanize.Bytes},
			{"the server while held", c.HeldCPU, humanize.Processors},
		} {
			if of.v > 0 {
				all = append(all, tile(of.label, of.v, of.unit))
			}
		}
		return all
	case r.Return != nil:
		x := r.Return
		all := []Tile{
			tile("people back", float64(x.Returned), humanize.Count), tile("messages missed and caught up", float64(x.Missed), humanize.Count),
			tile("all caught up after", x.AllS, humanize.Seconds), tile("caught up, p95", x.Synced.P95, humanize.Milliseconds),
		}
		if x.PeakCPU > 0 {
			all = append(all, tile("worst second of "+r.Server(), x.PeakCPU, humanize.Processors))
		}
		return append(all, tile("latency p95 afterwards", x.Afterwards.P95, humanize.Milliseconds))
	case r.Drift != nil:
		d := r.Drift
		all := []Tile{
			tile("messages", r.MsgsPerS, humanize.PerSecond), tile("length", d.Hours*3600, humanize.Seconds),
			tile("p95 at first", d.FirstP95, humanize.Milliseconds), tile("p95 at last", d.LastP95, humanize.Milliseconds),
		}
		if d.FirstMiB > 0 {
			all = append(all, tile("memory of "+r.Server()+" at first", d.FirstMiB, humanize.MiB), tile("and at last", d.LastMiB, humanize.MiB))
		}
		return all
	case r.Scenario == "fanout":
		return []Tile{
			tile("deliveries", r.Deliveries, humanize.PerSecond), tile("last device, p50", r.Complete.P50, humanize.Milliseconds),
			tile("last device, p95", r.Complete.P95, humanize.Milliseconds), tile("accepted, p95", r.Answer.P95, humanize.Milliseconds),
		}
	case r.Scenario == "burst":
		end := tile("all arrived after", r.Queue.DrainS, humanize.Seconds)
		if missing := r.Missing(); missing > 0 {
			end = tile("receipts still missing after "+humanize.Format(r.Queue.DrainS, humanize.Seconds), float64(missing), humanize.Count)
		}
		return []Tile{
			tile("messages arrived", r.MsgsPerS, humanize.PerSecond), tile("accepted, not yet arrived, at most", float64(r.Queue.Peak), humanize.Count),
			end, tile("refused", float64(r.Refused), humanize.Count),
			tile("latency p95", r.Latency.P95, humanize.Milliseconds),
		}
	case r.Rate == 0:
		return nil
	}
	all := []Tile{
		tile("messages sustained", r.Rate, humanize.PerSecond), tile("latency p50", r.Latency.P50, humanize.Milliseconds),
		tile("latency p95", r.Latency.P95, humanize.Milliseconds), tile("latency p99", r.Latency.P99, humanize.Milliseconds),
		tile("accepted p95", r.Answer.P95, humanize.Milliseconds),
	}
	if c := r.Cost; c != nil && c.OfServer() {
		all = append(all, tile("CPU-seconds for a million messages", c.Together.CPU, humanize.Count))
		if s := c.Together.Switches; s != nil {
			all = append(all, tile("context switches for a message", s.All(), humanize.Count))
		}
	}
	return all
}

func listings(r *report.Report) []Listing {
	var all []Listing
	if t := steps(r); len(t.Rows) > 0 {
		all = append(all, t)
	}
	if t := durations(r); len(t.Rows) > 0 {
		all = append(all, t)
	}
	return append(all, costs(r)...)
}

// costs returns the tables of what a message cost.
func costs(r *report.Report) (all []Listing) {
	label, c := r.CostStep()
	if c == nil {
		return nil
	}
	t := Listing{Title: "What a message cost at " + label, Lead: "CPU-seconds for a million messages, the rest for each. " + report.CostSentence(c) + ".", Head: append([]string{""}, report.CostHead()...)}
	shown := c.Shown()
	for i := range shown {
		t.Rows = append(t.Rows, append([]string{report.ProcessLabel(&shown[i])}, report.CostCells(&shown[i])...))
	}
	t.Rows = append(t.Rows, append([]string{"together"}, report.CostCells(&c.Together)...))
	all = append(all, t)
	var costed []*load.Result
	head := []string{""}
	for _, s := range r.Steps {
		if s.Cost != nil {
			costed = append(costed, s)
			head = append(head, cmp.Or(s.Label, humanize.Format(s.Rate, humanize.PerSecond)))
		}
	}
	if len(costed) > 1 {
		all = append(all,
			processesByStep("CPU-seconds for a million messages", head, costed, func(p *cost.Process) string { return report.CostCells(p)[0] }),
			processesByStep("Context switches for a message", head, costed, func(p *cost.Process) string { return report.CostCells(p)[3] }))
	}
	if t := hopsByStep(head, costed); len(t.Rows) > 0 {
		all = append(all, t)
	}
	return all
}

// processesByStep returns a table of a figure of each kind of process in each
// step.
func processesByStep(title string, head []string, steps []*load.Result, figure func(p *cost.Process) string) Listing {
	t := Listing{Title: title, Head: head}
	row := func(name string, of func(c *cost.Cost) *cost.Process) {
		cells := []string{name}
		for _, s := range steps {
			cell := "–"
			if p := of(s.Cost); p != nil {
				cell = figure(p)
			}
			cells = append(cells, cell)
		}
		t.Rows = append(t.Rows, cells)
	}
	var names []string
	for _, s := range steps {
		for _, p := range s.Cost.Shown() {
			if !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	for _, name := range names {
		row(name, func(c *cost.Cost) *cost.Process {
			shown := c.Shown()
			if i := slices.IndexFunc(shown, func(p cost.Process) bool { return p.Name == name }); i >= 0 {
				return &shown[i]
			}
			return nil
		})
	}
	row("together", func(c *cost.Cost) *cost.Process { return &c.Together })
	return t
}

// hopsByStep returns the table of what goes on together at each hop.
func hopsByStep(head []string, steps []*load.Result) Listing {
	t := Listing{Title: "How much goes on together", Head: head}
	var labels []string
	for _, s := range steps {
		for i := range s.Cost.Hops {
			if label := s.Cost.Hops[i].Label(); !slices.Contains(labels, label) {
				labels = append(labels, label)
			}
		}
	}
	for _, label := range labels {
		row := []string{label}
		for _, s := range steps {
			cell := "–"
			for i := range s.Cost.Hops {
				if h := &s.Cost.Hops[i]; h.Label() == label {
					cell = humanize.Number(h.Items)
				}
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// messageFacts returns the counts of the messages.
func messageFacts(r *report.Report) []Fact {
	n := func(v int64) string { return humanize.Number(float64(v)) }
	some := func(v int64) string { // what is worth a line only where it was seen
		if v == 0 {
			return ""
		}
		return n(v)
	}
	return facts("sent", n(r.Sent), "accepted", n(r.Accepted), "refused", n(r.Refused), "failed after they were accepted", n(r.Failed),
		"unanswered", n(r.Unanswered), "receipts", n(r.Delivered), "of them asked for by a device", some(r.Repaired), "lost", n(r.Lost), "duplicated", n(r.Duplicated),
		"out of order", n(r.OutOfOrder), "foreign", n(r.Foreign), "histories that could not be asked for", some(r.HistoryUnavailable))
}

// steps returns the table of all steps.
func steps(r *report.Report) Listing {
	t := Listing{Title: "Everything that was tried", Head: []string{"", "arrived", "p50", "p95", "p99", "max", "accepted p95", "last device p95", "refused", "tool's lag p99"}}
	for _, s := range r.Steps {
		label := s.Label
		if label == "" {
			label = humanize.Format(s.Rate, humanize.PerSecond)
		}
		t.Rows = append(t.Rows, append(
			[]string{label, humanize.Format(s.PerSecond, humanize.PerSecond)},
			ms(s.Latency.P50), ms(s.Latency.P95), ms(s.Latency.P99), ms(s.Latency.Max), ms(s.Answer.P95), ms(s.Complete.P95),
			humanize.Number(float64(s.Refused)), ms(s.Lag.P99)))
	}
	return t
}

func ms(v float64) string { return humanize.Format(v, humanize.Milliseconds) }

// durations returns the table of durations of everything but messages.
func durations(r *report.Report) Listing {
	t := Listing{Title: "How long other things took", Head: []string{"", "done", "failed", "p50", "p95", "p99", "max"}}
	add := func(name string, done, failed int64, l load.Latency) {
		t.Rows = append(t.Rows, []string{
			name, humanize.Number(float64(done)), humanize.Number(float64(failed)), ms(l.P50), ms(l.P95), ms(l.P99), ms(l.Max),
		})
	}
	if c := r.Connections; c != nil {
		add("connect", c.Succeeded, c.Attempted-c.Succeeded, c.Connect)
	}
	if x := r.Return; x != nil {
		add(fmt.Sprintf("catch up, within %s of tries", humanize.Format(x.SpreadS, humanize.Seconds)), x.Returned, int64(x.People)-x.Returned, x.Synced)
	}
	for _, a := range r.Acts {
		add(a.Name, a.Done, a.Failed, a.Latency)
	}
	return t
}

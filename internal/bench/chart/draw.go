package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// mostPoints and mostColumns bound what is drawn of a long run.
const (
	mostPoints  = 900
	mostColumns = 400
)

// run is one of a set.
type run struct {
	*report.Report
	group   string
	tone    int
	seconds []second
}

// drawing makes the charts of a set.
type drawing struct {
	scenario string
	runs     []run
	groups   int // that were measured
	beside   []compare.Reference
	charts   []Chart
}

// Of gives the charts of a set: of one run, what it did; of several, all in the
// same charts.
func Of(s compare.Set) []Chart {
	d := &drawing{scenario: s.Scenario}
	for _, g := range s.Groups {
		if g.Reference != nil {
			d.beside = append(d.beside, *g.Reference)
			continue
		}
		for _, r := range g.Reports {
			d.runs = append(d.runs, run{Report: r, group: g.Name, tone: d.groups, seconds: seconds(r, mostPoints)})
		}
		d.groups++
	}
	d.draw()
	return d.charts
}

func (d *drawing) draw() {
	switch d.scenario {
	case "latency":
		d.overRate()
		d.rate()
		d.queue()
	case "burst":
		d.rate()
		d.queue()
		d.latency()
	case "connections":
		d.connections("")
		d.connecting("Time to connect", "From the moment that a connection was due until it could be used, by the second in which that was.")
	case "fanout":
		d.fanout()
		d.latency()
	case "reconnect":
		d.connections("connections")
		d.connecting("Time to catch up", "From the loss until nothing was missing, by the second in which that was.")
		d.rate()
		d.latency()
	default:
		d.latency()
		d.rate()
		d.queue()
		d.connections("connections")
	}
	d.heat()
	d.server()
}

// add adds a chart, unless there is nothing in it.
func (d *drawing) add(name string, c Chart) {
	if c.empty() {
		return
	}
	c.Name = d.scenario
	if name != "" {
		c.Name += "-" + name
	}
	d.charts = append(d.charts, c)
}

func (d *drawing) single() bool { return len(d.runs) == 1 }

// quantity is something that a chart may show.
type quantity struct {
	name string
	dash Dash
	of   func(s *second) (float64, bool)
}

// over adds a chart of quantities over time. Of one run all are shown together;
// of several one at a time, first the one that is named as telling.
func (d *drawing) over(name string, c Chart, telling string, quantities ...quantity) {
	c.X = Axis{Label: "time", Unit: humanize.Seconds}
	if d.single() {
		c.Spans = spans(d.runs[0].Report)
	} else if len(quantities) > 1 {
		c.Choices = []string{telling}
		for _, q := range quantities {
			if q.name != telling {
				c.Choices = append(c.Choices, q.name)
			}
		}
	}
	for _, r := range d.runs {
		for i, q := range quantities {
			l := Line{Name: q.name, Tone: i, Dash: q.dash}
			if !d.single() {
				l = Line{Name: r.group, Tone: r.tone}
				if len(c.Choices) > 0 {
					l.Choice = q.name
				}
			}
			for i := range r.seconds {
				l.Gap = max(l.Gap, 4*(r.seconds[i].At-r.seconds[i].from))
				if v, ok := q.of(&r.seconds[i]); ok {
					l.X, l.Y = append(l.X, r.seconds[i].At), append(l.Y, v)
				}
			}
			c.Lines = append(c.Lines, l)
		}
	}
	c.Lines = slices.DeleteFunc(c.Lines, func(l Line) bool { return len(l.X) == 0 })
	d.add(name, c)
}

func spans(r *report.Report) []Span {
	var all []Span
	for _, s := range r.Steps {
		if s.To > s.From {
			all = append(all, Span{From: s.From, To: s.To, Label: s.Label})
		}
	}
	if len(all) < 2 {
		return nil
	}
	return all
}

// percentile is one of those that charts show.
type percentile struct {
	name string
	dash Dash
	of   func(l load.Latency) float64
}

var percentiles = []percentile{
	{"p50", Dotted, func(l load.Latency) float64 { return l.P50 }},
	{"p95", Solid, func(l load.Latency) float64 { return l.P95 }},
	{"p99", Dashed, func(l load.Latency) float64 { return l.P99 }},
}

// overSteps adds a line for each percentile, over something of the steps.
func (d *drawing) overSteps(c *Chart, x func(s *load.Result) float64, y func(s *load.Result) load.Latency) {
	if !d.single() {
		c.Choices = []string{"p95", "p50", "p99"}
	}
	for _, r := range d.runs {
		steps := slices.Clone(r.Steps)
		slices.SortStableFunc(steps, func(a, b *load.Result) int { return cmp.Compare(x(a), x(b)) })
		for i, p := range percentiles {
			l := Line{Name: p.name, Tone: i, Dash: p.dash, Marks: true}
			if !d.single() {
				l = Line{Name: r.group, Choice: p.name, Tone: r.tone, Marks: true}
			}
			for _, s := range steps {
				if v := p.of(y(s)); v > 0 && x(s) > 0 {
					l.X, l.Y = append(l.X, x(s)), append(l.Y, v)
				}
			}
			if len(l.X) > 0 {
				c.Lines = append(c.Lines, l)
			}
		}
	}
}

func (d *drawing) overRate() {
	c := Chart{
		Title: "Latency over rate",
		Note:  "From the moment that a message was due to its receipt at each device, at rising rates.",
		X:     Axis{Label: "messages per second", Unit: humanize.PerSecond, Log: true},
		Y:     Axis{Label: "latency", Unit: humanize.Milliseconds, Log: true},
	}
	d.overSteps(&c, func(s *load.Result) float64 { return s.Rate }, func(s *load.Result) load.Latency { return s.Latency })
	if limit, err := time.ParseDuration(d.runs[0].Parameters["max_p95"]); err == nil {
		ms := float64(limit) / float64(time.Millisecond)
		c.Limits = append(c.Limits, Limit{Value: ms, Label: "limit of the p95: " + humanize.Write(ms, humanize.Milliseconds)})
	}
	if r := d.runs[0]; d.single() && r.Rate > 0 {
		c.Limits = append(c.Limits, Limit{OfX: true, Value: r.Rate, Label: "sustained: " + humanize.Write(r.Rate, humanize.PerSecond)})
	}
	for _, b := range d.beside {
		if rate, p95 := b.Figures["msgs_per_s"], b.Figures["p95"]; rate > 0 && p95 > 0 {
			l := Line{Name: b.Name, Tone: Published, Marks: true, X: []float64{rate}, Y: []float64{p95}}
			if !d.single() {
				l.Choice = "p95"
			}
			c.Lines = append(c.Lines, l)
		}
	}
	d.add("over-rate", c)
}

func (d *drawing) rate() {
	d.over("rate", Chart{
		Title: "Messages over time",
		Note:  "Each second: what was sent, what was promised to be kept, and what arrived at everybody.",
		Y:     Axis{Label: "messages per second", Unit: humanize.PerSecond},
	}, "arrived",
		quantity{"sent", Dotted, func(s *second) (float64, bool) { return s.per(s.Sent), d.talked(s) }},
		quantity{"accepted", Dashed, func(s *second) (float64, bool) { return s.per(s.Accepted), d.talked(s) }},
		quantity{"arrived", Solid, func(s *second) (float64, bool) { return s.per(s.Delivered) / s.copies, d.talked(s) }},
	)
}

// talked tells whether people were talking: a scenario that only connects has no
// rate of messages.
func (d *drawing) talked(*second) bool {
	return slices.ContainsFunc(d.runs, func(r run) bool { return r.Sent > 0 })
}

func (d *drawing) queue() {
	d.over("queue", Chart{
		Title: "Accepted, not yet arrived",
		Note:  "Messages, at most in each second, as seen from outside: not the length of any queue inside the system.",
		Y:     Axis{Label: "messages", Unit: humanize.Count},
	}, "", quantity{"accepted, not yet arrived", Solid, func(s *second) (float64, bool) { return float64(s.Queue), d.talked(s) }})
}

// delivered is a percentile of seconds in which something was delivered.
func delivered(of func(s *second) float64) func(s *second) (float64, bool) {
	return func(s *second) (float64, bool) { return of(s), s.Delivered > 0 && of(s) > 0 }
}

// brought is one of seconds in which people came online and nothing was said.
func brought(of func(s *second) float64) func(s *second) (float64, bool) {
	return func(s *second) (float64, bool) { return of(s), s.Delivered == 0 && s.Sent == 0 && of(s) > 0 }
}

func (d *drawing) percentiles(name, title, note string, of func(func(s *second) float64) func(s *second) (float64, bool)) {
	d.over(name, Chart{Title: title, Note: note, Y: Axis{Label: "latency", Unit: humanize.Milliseconds, Log: true}}, "p95",
		quantity{"p50", Dotted, of(func(s *second) float64 { return s.P50 })},
		quantity{"p95", Solid, of(func(s *second) float64 { return s.P95 })},
		quantity{"p99", Dashed, of(func(s *second) float64 { return s.P99 })},
	)
}

func (d *drawing) latency() {
	d.percentiles("latency", "Latency over time", "Of what arrived in each second, from the moment that it was due.", delivered)
}

func (d *drawing) connecting(title, note string) { d.percentiles("connect", title, note, brought) }

func (d *drawing) connections(name string) {
	c := Chart{
		Title: "Connections over time",
		Note:  "Connections that are open at the end of each second.",
		Y:     Axis{Label: "connections", Unit: humanize.Count},
	}
	for _, b := range d.beside {
		if n, ok := b.Figures["connections"]; ok {
			c.Limits = append(c.Limits, Limit{Value: n, Label: b.Name + ": " + humanize.Number(n), Published: true})
		}
	}
	d.over(name, c, "", quantity{"connections", Solid, func(s *second) (float64, bool) { return float64(s.Connected), true }})
}

func (d *drawing) fanout() {
	c := Chart{
		Title: "Until the last device has it",
		Note:  "From the moment that a message was due until every member of the room had it, by the room's size.",
		X:     Axis{Label: "devices in the room", Unit: humanize.Count, Log: true},
		Y:     Axis{Label: "time", Unit: humanize.Milliseconds, Log: true},
	}
	d.overSteps(&c, Size, func(s *load.Result) load.Latency { return s.Complete })
	d.add("complete", c)

	c = Chart{
		Title: "Deliveries by room size",
		Note:  "Receipts each second, all devices together.",
		X:     c.X, Y: Axis{Label: "deliveries per second", Unit: humanize.PerSecond},
	}
	for _, r := range d.runs {
		l := Line{Name: "deliveries", Tone: r.tone, Marks: true}
		if !d.single() {
			l.Name = r.group
		}
		steps := slices.Clone(r.Steps)
		slices.SortStableFunc(steps, func(a, b *load.Result) int { return cmp.Compare(Size(a), Size(b)) })
		for _, s := range steps {
			if Size(s) > 0 {
				l.X, l.Y = append(l.X, Size(s)), append(l.Y, s.Receipts)
			}
		}
		c.Lines = append(c.Lines, l)
	}
	d.add("deliveries", c)
}

// processes says whose memory and processors are drawn.
func (d *drawing) processes() string {
	first := d.runs[0].Server()
	if !slices.ContainsFunc(d.runs, func(r run) bool { return r.Server() != first }) {
		return first
	}
	var each []string
	for _, r := range d.runs {
		if of := r.group + ": " + r.Server(); !slices.Contains(each, of) {
			each = append(each, of)
		}
	}
	return "the processes that were looked at (" + strings.Join(each, "; ") + ")"
}

func (d *drawing) server() {
	d.over("memory", Chart{
		Title: "Server's memory", Note: fmt.Sprintf("Resident, of %s, all processes together.", d.processes()),
		Y: Axis{Label: "memory", Unit: humanize.MiB},
	}, "", quantity{"memory", Solid, func(s *second) (float64, bool) { return s.MemoryMiB, s.MemoryMiB > 0 }})
	d.over("cpu", Chart{
		Title: "Server's processors", Note: fmt.Sprintf("Processors' worth of time, of %s, all processes together; the machine has %d.", d.processes(), d.runs[0].Machine.Cores),
		Y: Axis{Label: "processors", Unit: humanize.Processors},
	}, "", quantity{"processors", Solid, func(s *second) (float64, bool) { return s.CPU, s.MemoryMiB > 0 }})
}

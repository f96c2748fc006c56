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
	maxPoints  = 900
	maxColumns = 400
)

// run is one of a set.
type run struct {
	*report.Report
	group   string
	tone    int
	seconds []second
}

// builder makes the charts of a set.
type builder struct {
	scenario   string
	runs       []run
	groups     int // that were measured
	references []compare.Reference
	charts     []Chart
}

// ForSet gives the charts of a set: of one run, what it did; of several, all in the
// same charts.
func ForSet(s compare.Set) []Chart {
	d := &builder{scenario: s.Scenario}
	for _, g := range s.Groups {
		if g.Reference != nil {
			d.references = append(d.references, *g.Reference)
			continue
		}
		for _, r := range g.Reports {
			d.runs = append(d.runs, run{Report: r, group: g.Name, tone: d.groups, seconds: seconds(r, maxPoints)})
		}
		d.groups++
	}
	d.build()
	return d.charts
}

func (d *builder) build() {
	switch d.scenario {
	case "latency":
		d.addOverRate()
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
func (d *builder) add(name string, c Chart) {
	if c.empty() {
		return
	}
	c.Name = d.scenario
	if name != "" {
		c.Name += "-" + name
	}
	d.charts = append(d.charts, c)
}

func (d *builder) single() bool { return len(d.runs) == 1 }

// series is a quantity that a chart can show.
type series struct {
	name  string
	dash  Dash
	value func(s *second) (float64, bool)
}

// addOverTime adds a chart of series over time. For one run all are shown
// together; for several runs one at a time, the first being the default.
func (d *builder) addOverTime(name string, c Chart, telling string, quantities ...series) {
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
				l.Gap = max(l.Gap, 4*(r.seconds[i].At-r.seconds[i].start))
				if v, ok := q.value(&r.seconds[i]); ok {
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
	name  string
	dash  Dash
	value func(l load.Latency) float64
}

var percentiles = []percentile{
	{"p50", Dotted, func(l load.Latency) float64 { return l.P50 }},
	{"p95", Solid, func(l load.Latency) float64 { return l.P95 }},
	{"p99", Dashed, func(l load.Latency) float64 { return l.P99 }},
}

// addOverSteps adds a line for each percentile, over a value of the steps.
func (d *builder) addOverSteps(c *Chart, x func(s *load.Result) float64, y func(s *load.Result) load.Latency) {
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
				if v := p.value(y(s)); v > 0 && x(s) > 0 {
					l.X, l.Y = append(l.X, x(s)), append(l.Y, v)
				}
			}
			if len(l.X) > 0 {
				c.Lines = append(c.Lines, l)
			}
		}
	}
}

func (d *builder) addOverRate() {
	c := Chart{
		Title: "Latency over rate",
		Note:  "From the moment that a message was due to its receipt at each device, at rising rates.",
		X:     Axis{Label: "messages per second", Unit: humanize.PerSecond, Log: true},
		Y:     Axis{Label: "latency", Unit: humanize.Milliseconds, Log: true},
	}
	d.addOverSteps(&c, func(s *load.Result) float64 { return s.Rate }, func(s *load.Result) load.Latency { return s.Latency })
	if limit, err := time.ParseDuration(d.runs[0].Parameters["max_p95"]); err == nil {
		ms := float64(limit) / float64(time.Millisecond)
		c.Limits = append(c.Limits, Limit{Value: ms, Label: "limit of the p95: " + humanize.Format(ms, humanize.Milliseconds)})
	}
	if r := d.runs[0]; d.single() && r.Rate > 0 {
		c.Limits = append(c.Limits, Limit{OfX: true, Value: r.Rate, Label: "sustained: " + humanize.Format(r.Rate, humanize.PerSecond)})
	}
	for _, b := range d.references {
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

func (d *builder) rate() {
	d.addOverTime("rate", Chart{
		Title: "Messages over time",
		Note:  "Each second: what was sent, what was promised to be kept, and what arrived at everybody.",
		Y:     Axis{Label: "messages per second", Unit: humanize.PerSecond},
	}, "arrived",
		series{"sent", Dotted, func(s *second) (float64, bool) { return s.per(s.Sent), d.hasMessages(s) }},
		series{"accepted", Dashed, func(s *second) (float64, bool) { return s.per(s.Accepted), d.hasMessages(s) }},
		series{"arrived", Solid, func(s *second) (float64, bool) { return s.per(s.Delivered) / s.recipients, d.hasMessages(s) }},
	)
}

// hasMessages reports whether messages were sent: a scenario that only connects
// has no message rate.
func (d *builder) hasMessages(*second) bool {
	return slices.ContainsFunc(d.runs, func(r run) bool { return r.Sent > 0 })
}

func (d *builder) queue() {
	d.addOverTime("queue", Chart{
		Title: "Accepted, not yet arrived",
		Note:  "Messages, at most in each second, as seen from outside: not the length of any queue inside the system.",
		Y:     Axis{Label: "messages", Unit: humanize.Count},
	}, "", series{"accepted, not yet arrived", Solid, func(s *second) (float64, bool) { return float64(s.Queue), d.hasMessages(s) }})
}

// whenDelivered restricts a value to seconds in which something was delivered.
func whenDelivered(of func(s *second) float64) func(s *second) (float64, bool) {
	return func(s *second) (float64, bool) { return of(s), s.Delivered > 0 && of(s) > 0 }
}

// whenConnecting restricts a value to seconds in which users connected and
// nothing was sent.
func whenConnecting(of func(s *second) float64) func(s *second) (float64, bool) {
	return func(s *second) (float64, bool) { return of(s), s.Delivered == 0 && s.Sent == 0 && of(s) > 0 }
}

func (d *builder) percentiles(name, title, note string, of func(func(s *second) float64) func(s *second) (float64, bool)) {
	d.addOverTime(name, Chart{Title: title, Note: note, Y: Axis{Label: "latency", Unit: humanize.Milliseconds, Log: true}}, "p95",
		series{"p50", Dotted, of(func(s *second) float64 { return s.P50 })},
		series{"p95", Solid, of(func(s *second) float64 { return s.P95 })},
		series{"p99", Dashed, of(func(s *second) float64 { return s.P99 })},
	)
}

func (d *builder) latency() {
	d.percentiles("latency", "Latency over time", "Of what arrived in each second, from the moment that it was due.", whenDelivered)
}

func (d *builder) connecting(title, note string) {
	d.percentiles("connect", title, note, whenConnecting)
}

func (d *builder) connections(name string) {
	c := Chart{
		Title: "Connections over time",
		Note:  "Connections that are open at the end of each second.",
		Y:     Axis{Label: "connections", Unit: humanize.Count},
	}
	for _, b := range d.references {
		if n, ok := b.Figures["connections"]; ok {
			c.Limits = append(c.Limits, Limit{Value: n, Label: b.Name + ": " + humanize.Number(n), Published: true})
		}
	}
	d.addOverTime(name, c, "", series{"connections", Solid, func(s *second) (float64, bool) { return float64(s.Connected), true }})
}

func (d *builder) fanout() {
	c := Chart{
		Title: "Until the last device has it",
		Note:  "From the moment that a message was due until every member of the room had it, by the room's size.",
		X:     Axis{Label: "devices in the room", Unit: humanize.Count, Log: true},
		Y:     Axis{Label: "time", Unit: humanize.Milliseconds, Log: true},
	}
	d.addOverSteps(&c, Recipients, func(s *load.Result) load.Latency { return s.Complete })
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
		slices.SortStableFunc(steps, func(a, b *load.Result) int { return cmp.Compare(Recipients(a), Recipients(b)) })
		for _, s := range steps {
			if Recipients(s) > 0 {
				l.X, l.Y = append(l.X, Recipients(s)), append(l.Y, s.Receipts)
			}
		}
		c.Lines = append(c.Lines, l)
	}
	d.add("deliveries", c)
}

// processNames names the sampled processes of the server.
func (d *builder) processNames() string {
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

func (d *builder) server() {
	d.addOverTime("memory", Chart{
		Title: "Server's memory", Note: fmt.Sprintf("Resident, of %s, all processes together.", d.processNames()),
		Y: Axis{Label: "memory", Unit: humanize.MiB},
	}, "", series{"memory", Solid, func(s *second) (float64, bool) { return s.MemoryMiB, s.MemoryMiB > 0 }})
	d.addOverTime("cpu", Chart{
		Title: "Server's processors", Note: fmt.Sprintf("Processors' worth of time, of %s, all processes together; the machine has %d.", d.processNames(), d.runs[0].Machine.Cores),
		Y: Axis{Label: "processors", Unit: humanize.Processors},
	}, "", series{"processors", Solid, func(s *second) (float64, bool) { return s.CPU, s.MemoryMiB > 0 }})
}

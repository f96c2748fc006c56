// Package threshold judges a run by conditions such as p95>170ms or lost>0.
package threshold

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Condition is a condition under which a run counts as failed.
type Condition struct {
	text    string
	metric  metric
	compare func(got, limit float64) bool
	limit   float64
}

// metric is a figure of a report.
type metric struct {
	value func(r *report.Report) float64
	unit  unit
	// measured reports whether the run measured it; nil means always.
	measured func(r *report.Report) bool
}

// unit is how the limit of a metric is written.
type unit int

const (
	count     unit = iota // a number
	duration              // a Go duration, such as 170ms; the figure is in milliseconds
	perSecond             // a number, with or without /s
)

var metrics = func() map[string]metric {
	counted := func(f func(r *report.Report) int64) metric {
		return metric{value: func(r *report.Report) float64 { return float64(f(r)) }}
	}
	all := map[string]metric{
		"sent":         counted(func(r *report.Report) int64 { return r.Sent }),
		"accepted":     counted(func(r *report.Report) int64 { return r.Accepted }),
		"refused":      counted(func(r *report.Report) int64 { return r.Refused }),
		"failed":       counted(func(r *report.Report) int64 { return r.Failed }),
		"unanswered":   counted(func(r *report.Report) int64 { return r.Unanswered }),
		"delivered":    counted(func(r *report.Report) int64 { return r.Delivered }),
		"lost":         counted(func(r *report.Report) int64 { return r.Lost }),
		"duplicated":   counted(func(r *report.Report) int64 { return r.Duplicated }),
		"out_of_order": counted(func(r *report.Report) int64 { return r.OutOfOrder }),
		"foreign":      counted(func(r *report.Report) int64 { return r.Foreign }),
		"queue_peak":   counted(func(r *report.Report) int64 { return r.Queue.Peak }),
		"queue_drain":  {value: func(r *report.Report) float64 { return r.Queue.DrainS * 1000 }, unit: duration},
		"rate":         {value: func(r *report.Report) float64 { return r.Rate }, unit: perSecond},
		"msgs_per_s":   {value: func(r *report.Report) float64 { return r.MsgsPerS }, unit: perSecond},

		"deliveries_per_s":  {value: func(r *report.Report) float64 { return r.Deliveries }, unit: perSecond},
		"connections":       connected(func(c *report.Connections) float64 { return float64(c.Succeeded) }, count),
		"connections_lost":  connected(func(c *report.Connections) float64 { return float64(c.Attempted - c.Succeeded + c.Ended) }, count),
		"connections_per_s": connected(func(c *report.Connections) float64 { return c.PerS }, perSecond),
		"cpu_per_million": {
			value:    func(r *report.Report) float64 { return orZero(r.Cost).Together.CPU },
			measured: func(r *report.Report) bool { return orZero(r.Cost).OfServer() },
		},
		"switches_per_message": {
			value:    func(r *report.Report) float64 { return orZero(orZero(r.Cost).Together.Switches).All() },
			measured: func(r *report.Report) bool { return orZero(r.Cost).OfServer() && r.Cost.Together.Switches != nil },
		},
		"bytes_each": {
			value:    func(r *report.Report) float64 { return orZero(r.Connections).BytesEach },
			measured: func(r *report.Report) bool { return orZero(r.Connections).BytesEach > 0 },
		},
		"mib_per_hour": {
			value:    func(r *report.Report) float64 { return orZero(r.Drift).MiBPerHour },
			measured: func(r *report.Report) bool { return orZero(r.Drift).LastMiB > 0 },
		},
		"all_synced": {
			value: func(r *report.Report) float64 { return orZero(r.Return).AllS * 1000 }, unit: duration,
			measured: func(r *report.Report) bool { return r.Return != nil && r.Return.Returned == int64(r.Return.People) },
		},
	}
	for prefix, of := range map[string]func(r *report.Report) load.Latency{
		"":          func(r *report.Report) load.Latency { return r.Latency },
		"accepted_": func(r *report.Report) load.Latency { return r.Answer },
		"send_lag_": func(r *report.Report) load.Latency { return r.Lag },
		"complete_": func(r *report.Report) load.Latency { return r.Complete },
		"connect_":  func(r *report.Report) load.Latency { return orZero(r.Connections).Connect },
		"synced_":   func(r *report.Report) load.Latency { return orZero(r.Return).Synced },
	} {
		for name, value := range map[string]func(l load.Latency) float64{
			"p50": func(l load.Latency) float64 { return l.P50 }, "p90": func(l load.Latency) float64 { return l.P90 },
			"p95": func(l load.Latency) float64 { return l.P95 }, "p99": func(l load.Latency) float64 { return l.P99 },
			"p999": func(l load.Latency) float64 { return l.P999 }, "max": func(l load.Latency) float64 { return l.Max },
		} {
			all[prefix+name] = metric{
				value: func(r *report.Report) float64 { return value(of(r)) }, unit: duration,
				measured: func(r *report.Report) bool { return of(r) != load.Latency{} },
			}
		}
	}
	return all
}()

// connected is a metric of connections, which not every run measures.
func connected(of func(*report.Connections) float64, u unit) metric {
	return metric{
		value: func(r *report.Report) float64 { return of(orZero(r.Connections)) }, unit: u,
		measured: func(r *report.Report) bool { return r.Connections != nil },
	}
}

func orZero[T any](v *T) *T {
	if v == nil {
		return new(T)
	}
	return v
}

// Metrics returns the names of all metrics, sorted.
func Metrics() []string {
	names := make([]string, 0, len(metrics))
	for name := range metrics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// operators has the longer ones first, because >= begins with >.
var operators = []struct {
	text    string
	compare func(got, limit float64) bool
}{
	{">=", func(got, limit float64) bool { return got >= limit }},
	{"<=", func(got, limit float64) bool { return got <= limit }},
	{"==", func(got, limit float64) bool { return got == limit }},
	{"!=", func(got, limit float64) bool { return got != limit }},
	{">", func(got, limit float64) bool { return got > limit }},
	{"<", func(got, limit float64) bool { return got < limit }},
}

// Parse parses a condition: a metric, an operator, and a limit with its unit.
func Parse(text string) (Condition, error) {
	c := Condition{text: text}
	at := strings.IndexAny(text, "<>=!")
	if at < 0 {
		return c, fmt.Errorf("%q compares nothing; write it like p95>170ms or lost>0", text)
	}
	name, rest := strings.TrimSpace(text[:at]), text[at:]
	var ok bool
	if c.metric, ok = metrics[name]; !ok {
		return c, fmt.Errorf("%q: there is no figure %q; choose from %s", text, name, strings.Join(Metrics(), ", "))
	}
	limit, found := "", false
	for _, o := range operators {
		if limit, found = strings.CutPrefix(rest, o.text); found {
			c.compare = o.compare
			break
		}
	}
	if !found {
		return c, fmt.Errorf("%q: %q is no comparison; choose from > >= < <= == !=", text, rest)
	}
	var err error
	if c.limit, err = c.metric.unit.parse(strings.TrimSpace(limit)); err != nil {
		return c, fmt.Errorf("%q: %w", text, err)
	}
	return c, nil
}

func (u unit) parse(text string) (float64, error) {
	if u == duration {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("%q is no time; write it like 170ms or 1.5s", text)
		}
		return float64(d) / float64(time.Millisecond), nil
	}
	if u == perSecond {
		text = strings.TrimSuffix(text, "/s")
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 1e18 || n != n { //nolint:gocritic // NaN
		return 0, fmt.Errorf("%q is no number", text)
	}
	return n, nil
}

// Fails reports whether a run meets the condition, and describes it with the
// measured value. It also fails when the run did not measure the metric.
func (c Condition) Fails(r *report.Report) (bool, string) {
	if c.metric.measured != nil && !c.metric.measured(r) {
		return true, c.text + " (it was not measured)"
	}
	got := c.metric.value(r)
	if !c.compare(got, c.limit) {
		return false, ""
	}
	figure := strconv.FormatFloat(math.Round(got*1000)/1000, 'f', -1, 64)
	switch c.metric.unit {
	case duration:
		figure = strconv.FormatFloat(got, 'f', 1, 64) + " ms"
	case perSecond:
		figure = strconv.FormatFloat(got, 'f', 0, 64) + "/s"
	}
	return true, fmt.Sprintf("%s (it is %s)", c.text, figure)
}

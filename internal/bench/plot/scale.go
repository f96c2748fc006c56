package plot

import (
	"fmt"
	"math"

	"github.com/hikyaku-chat/hikyaku/internal/bench/chart"
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
)

// scale is an axis with the range that it shows.
type scale struct {
	chart.Axis
	least, most float64
}

// newScale shows everything of a chart.
func newScale(c chart.Chart, ofX bool) scale {
	s := scale{Axis: c.Y, least: math.Inf(1), most: math.Inf(-1)}
	if ofX {
		s.Axis = c.X
	}
	see := func(values ...float64) {
		for _, v := range values {
			if !s.Log || v > 0 {
				s.least, s.most = min(s.least, v), max(s.most, v)
			}
		}
	}
	for _, l := range c.Lines {
		if !shown(c, l) {
			continue
		}
		if ofX {
			see(l.X...)
		} else {
			see(l.Y...)
		}
	}
	for _, l := range c.Limits {
		if l.OfX == ofX {
			see(l.Value)
		}
	}
	if c.Heat != nil {
		if ofX {
			see(c.Heat.From...)
			see(c.Heat.To...)
		} else {
			see(c.Heat.Bounds...)
		}
	}
	switch {
	case s.least > s.most && s.Log:
		s.least, s.most = 1, 10
	case s.least > s.most:
		s.least, s.most = 0, 1
	case c.Heat != nil:
	case s.Log:
		s.least, s.most = s.least/1.25, s.most*1.25
	default:
		s.least = min(s.least, 0)
		if !ofX {
			s.most *= 1.08
		}
	}
	if !ofX && len(c.Spans) > 0 { // the names of steps stand above the lines
		if s.Log {
			s.most *= 1.6
		} else {
			s.most *= 1.1
		}
	}
	if s.most <= s.least {
		s.most = s.least + 1
	}
	return s
}

// place is where a value is between the ends, 0 to 1.
func (s scale) place(v float64) float64 {
	if s.Log {
		return math.Log(v/s.least) / math.Log(s.most/s.least)
	}
	return (v - s.least) / (s.most - s.least)
}

// ticks are at most about so many values to be named.
func (s scale) ticks(most int) []float64 {
	if s.Log {
		for _, steps := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
			var all []float64
			for power := math.Floor(math.Log10(s.least)); power <= math.Ceil(math.Log10(s.most)); power++ {
				for _, step := range steps {
					if v := step * math.Pow(10, power); v >= s.least && v <= s.most {
						all = append(all, v)
					}
				}
			}
			if len(all) <= most || len(steps) == 1 {
				return all
			}
		}
	}
	step := s.step((s.most - s.least) / float64(most))
	var all []float64
	for n := math.Ceil(s.least / step); n*step <= s.most; n++ {
		all = append(all, n*step)
	}
	return all
}

// step is a round number that is not smaller.
func (s scale) step(least float64) float64 {
	if s.Unit == humanize.Seconds {
		for _, step := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200} {
			if step >= least {
				return step
			}
		}
		return math.Ceil(least/86_400) * 86_400
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, step := range []float64{1, 2, 5, 10} {
		if step*power >= least {
			if s.Unit == humanize.Count {
				return max(step*power, 1)
			}
			return step * power
		}
	}
	return 10 * power
}

// name writes a value beside its axis.
func (s scale) name(v float64) string {
	if s.Unit == humanize.Seconds && s.Label == "time" {
		n := int(math.Round(v))
		if n >= 3600 {
			return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
		}
		return fmt.Sprintf("%d:%02d", n/60, n%60)
	}
	switch {
	case math.Abs(v) >= 1e6:
		return humanize.Number(v/1e6) + "M"
	case math.Abs(v) >= 1e4:
		return humanize.Number(v/1e3) + "k"
	}
	return humanize.Number(v)
}

// title is what stands beside the axis.
func (s scale) title() string {
	switch s.Unit {
	case humanize.Count, humanize.PerSecond:
		return s.Label
	case humanize.Seconds:
		if s.Label == "time" {
			return "time (minutes:seconds)"
		}
	}
	return s.Label + " (" + string(s.Unit) + ")"
}

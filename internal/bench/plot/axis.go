package plot

import (
	"fmt"
	"math"

	"github.com/hikyaku-chat/hikyaku/internal/bench/chart"
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
)

// axis is an axis with its visible range.
type axis struct {
	chart.Axis
	min, max float64
}

// newAxis returns an axis whose range includes all of a chart.
func newAxis(c chart.Chart, ofX bool) axis {
	s := axis{Axis: c.Y, min: math.Inf(1), max: math.Inf(-1)}
	if ofX {
		s.Axis = c.X
	}
	see := func(values ...float64) {
		for _, v := range values {
			if !s.Log || v > 0 {
				s.min, s.max = min(s.min, v), max(s.max, v)
			}
		}
	}
	for _, l := range c.Lines {
		if !isShown(c, l) {
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
	case s.min > s.max && s.Log:
		s.min, s.max = 1, 10
	case s.min > s.max:
		s.min, s.max = 0, 1
	case c.Heat != nil:
	case s.Log:
		s.min, s.max = s.min/1.25, s.max*1.25
	default:
		s.min = min(s.min, 0)
		if !ofX {
			s.max *= 1.08
		}
	}
	if !ofX && len(c.Spans) > 0 { // the names of steps stand above the lines
		if s.Log {
			s.max *= 1.6
		} else {
			s.max *= 1.1
		}
	}
	if s.max <= s.min {
		s.max = s.min + 1
	}
	return s
}

// position returns the relative position of a value in the range, 0 to 1.
func (s axis) position(v float64) float64 {
	if s.Log {
		return math.Log(v/s.min) / math.Log(s.max/s.min)
	}
	return (v - s.min) / (s.max - s.min)
}

// ticks returns the values to label, not more than about a maximum.
func (s axis) ticks(most int) []float64 {
	if s.Log {
		for _, steps := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
			var all []float64
			for power := math.Floor(math.Log10(s.min)); power <= math.Ceil(math.Log10(s.max)); power++ {
				for _, step := range steps {
					if v := step * math.Pow(10, power); v >= s.min && v <= s.max {
						all = append(all, v)
					}
				}
			}
			if len(all) <= most || len(steps) == 1 {
				return all
			}
		}
	}
	step := s.step((s.max - s.min) / float64(most))
	var all []float64
	for n := math.Ceil(s.min / step); n*step <= s.max; n++ {
		all = append(all, n*step)
	}
	return all
}

// step returns the smallest round number that is not below a minimum.
func (s axis) step(least float64) float64 {
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

// tickLabel formats a value of the axis.
func (s axis) tickLabel(v float64) string {
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

// title returns the title of the axis.
func (s axis) title() string {
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

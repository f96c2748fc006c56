package chart

import (
	"fmt"
	"math"

	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// heat adds a heat map of each group's first run.
func (d *builder) heat() {
	tone := -1
	for _, r := range d.runs {
		if r.tone == tone {
			continue
		}
		tone = r.tone
		name, title := "heat", "Latency heat map"
		if d.groups > 1 {
			name, title = fmt.Sprintf("heat-%d", tone+1), title+": "+r.group
		}
		d.add(name, Chart{
			Title: title,
			Note:  "Each column is a stretch of time; the stronger the color of a band, the more of what arrived in it took that long.",
			X:     Axis{Label: "time", Unit: humanize.Seconds},
			Y:     Axis{Label: "latency", Unit: humanize.Milliseconds, Log: true},
			Heat:  heat(r.Report),
		})
	}
}

// heat returns the heat map of deliveries, or if there were none, of connects.
// It has only the bands that are not empty.
func heat(r *report.Report) *Heat {
	all := seconds(r, maxColumns)
	lowest, highest := math.MaxInt, -1
	shown := all[:0]
	for _, s := range all {
		if (s.Delivered > 0) != (r.Delivered > 0) {
			continue
		}
		any := false
		for band, n := range s.Heat {
			if n > 0 && band < len(r.HeatBounds) {
				lowest, highest, any = min(lowest, band), max(highest, band), true
			}
		}
		if any {
			shown = append(shown, s)
		}
	}
	h := &Heat{}
	if highest < 0 {
		return h
	}
	lower := r.HeatBounds[lowest] / math.Sqrt2
	if lowest > 0 {
		lower = r.HeatBounds[lowest-1]
	}
	h.Bounds = append([]float64{lower}, r.HeatBounds[lowest:highest+1]...)
	for _, s := range shown {
		total := int64(0)
		for _, n := range s.Heat {
			total += n
		}
		shares := make([]float64, highest-lowest+1)
		for band := range shares {
			if lowest+band < len(s.Heat) {
				shares[band] = roundShare(float64(s.Heat[lowest+band]) / float64(total))
			}
		}
		h.From, h.To, h.Shares = append(h.From, s.start), append(h.To, s.At), append(h.Shares, shares)
	}
	return h
}

// roundShare keeps the visible precision.
func roundShare(v float64) float64 { return math.Round(v*1e5) / 1e5 }

// Package chart defines the charts of one run, or of several runs compared:
// which lines over which axes. Packages htmlreport and plot draw them.
package chart

import (
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
)

// Chart is one chart.
type Chart struct {
	Name  string `json:"name"` // for files and anchors, such as burst-queue
	Title string `json:"title"`
	Note  string `json:"note"` // what is to be seen in it, in a sentence or two
	X     Axis   `json:"x"`
	Y     Axis   `json:"y"`

	Lines   []Line   `json:"lines"`
	Choices []string `json:"choices"` // what a line may be of, where only one of them is shown at a time; the first is shown first
	Limits  []Limit  `json:"limits"`
	Spans   []Span   `json:"spans"` // of x: the steps of the run
	Heat    *Heat    `json:"heat,omitempty"`
}

// Axis is the x or the y axis.
type Axis struct {
	Label string        `json:"label"`
	Unit  humanize.Unit `json:"unit"`
	Log   bool          `json:"log"`
}

// Dash distinguishes lines of the same color, also for people who cannot
// distinguish the colors.
type Dash string

// The dashes.
const (
	Solid  Dash = ""
	Dashed Dash = "dashed"
	Dotted Dash = "dotted"
)

// Line is a series of points, by rising X.
type Line struct {
	Name   string    `json:"name"`
	Choice string    `json:"choice"` // one of the chart's; empty for a line that is always shown
	Tone   int       `json:"tone"`   // which color, from 0; Published for what was not measured here
	Dash   Dash      `json:"dash"`
	Marks  bool      `json:"marks"` // each point is marked
	Gap    float64   `json:"gap"`   // points that are farther apart are not connected; 0 for all are
	X      []float64 `json:"x"`
	Y      []float64 `json:"y"`
}

// Published is the tone of what was not measured here.
const Published = -1

// Limit is a straight line across the chart, at a value of Y, or of X.
type Limit struct {
	OfX   bool    `json:"of_x"`
	Value float64 `json:"value"`
	Label string  `json:"label"`
	// Published is set when the value was not measured here.
	Published bool `json:"published"`
}

// Span is a range of X.
type Span struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Label string  `json:"label"`
}

// Heat is a heat map of latency (y, logarithmic) over time (x).
type Heat struct {
	From   []float64   `json:"from"`   // where each column begins, in seconds
	To     []float64   `json:"to"`     // and ends
	Bounds []float64   `json:"bounds"` // of the bands, in milliseconds, from the lowest one's lower bound
	Shares [][]float64 `json:"shares"` // of each column, for each band, of all that came in it: 0 to 1
}

func (c *Chart) empty() bool {
	if c.Heat != nil {
		return len(c.Heat.From) == 0
	}
	for _, l := range c.Lines {
		if len(l.X) > 1 || l.Marks && len(l.X) > 0 {
			return false
		}
	}
	return true
}

package progress

import (
	"strings"
	"unicode/utf8"
)

// line is a line of the panel. It is never wider than the terminal, which would
// wrap it, so that it could not be redrawn in place.
type line struct {
	text  strings.Builder
	color bool
	left  int // that is left
	width int // that is taken
}

func (l *line) String() string { return l.text.String() }

// add appends a text, truncated to the width that is left.
func (l *line) add(style, text string) *line {
	if n := utf8.RuneCountInString(text); n > l.left {
		text = string([]rune(text)[:max(l.left, 0)])
	}
	return l.addIfFits(style, text)
}

// addIfFits appends a text if all of it fits.
func (l *line) addIfFits(style, text string) *line {
	n := utf8.RuneCountInString(text)
	if n > l.left {
		l.left = 0 // what comes after it belongs to it
		return l
	}
	l.left -= n
	l.width += n
	if l.color && style != "" && text != "" {
		text = style + text + resetStyle
	}
	l.text.WriteString(text)
	return l
}

var bars = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the last values, as many as fit, scaled from 0 to their
// maximum.
func sparkline(values []float64, room int) string {
	values = values[max(0, len(values)-max(room, 0)):]
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	out := make([]rune, len(values))
	for i, v := range values {
		out[i] = bars[0]
		if most > 0 {
			out[i] = bars[min(int(v/most*float64(len(bars))), len(bars)-1)]
		}
	}
	return string(out)
}

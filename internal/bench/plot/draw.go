package plot

import (
	"image/color"
	"math"

	"github.com/hikyaku-chat/hikyaku/internal/bench/chart"
)

// isShown reports whether a line is drawn: of several choices, only the first
// is.
func isShown(c chart.Chart, l chart.Line) bool {
	return l.Choice == "" || len(c.Choices) > 0 && l.Choice == c.Choices[0]
}

func (p *picture) draw(c chart.Chart, of string) {
	const margin = 24
	title := c.Title
	if len(c.Choices) > 0 {
		title += ", " + c.Choices[0]
	}
	p.text(margin, 36, 0, 18, true, textColor, title)
	p.text(width-margin, 36, 1, 12, false, mutedColor, of)
	p.legend(c, margin, 62)

	p.left, p.top, p.right, p.bottom = margin, 96, width-margin, height-50
	ticks := p.y.ticks(9)
	for _, v := range ticks {
		face := p.face(12, false)
		p.left = max(p.left, margin+10+float64(face.Width(p.y.tickLabel(v))/pixel))
	}
	p.text(margin, 88, 0, 12, false, mutedColor, p.y.title())
	p.text(p.right, height-14, 1, 12, false, mutedColor, p.x.title())

	p.spans(c)
	for _, v := range ticks {
		y := p.py(v)
		p.line([][2]float64{{p.left, y}, {p.right, y}}, 1, gridColor, chart.Solid)
		p.text(p.left-8, y+4, 1, 12, false, mutedColor, p.y.tickLabel(v))
	}
	for _, v := range p.x.ticks(9) {
		x := p.px(v)
		p.line([][2]float64{{x, p.top}, {x, p.bottom}}, 1, gridColor, chart.Solid)
		p.text(x, p.bottom+18, 0.5, 12, false, mutedColor, p.x.tickLabel(v))
	}
	p.heat(c)
	for _, l := range c.Lines {
		if isShown(c, l) {
			p.series(l, len(c.Lines) == 1)
		}
	}
	p.limits(c)
}

func (p *picture) px(v float64) float64 { return p.left + p.x.position(v)*(p.right-p.left) }
func (p *picture) py(v float64) float64 { return p.bottom - p.y.position(v)*(p.bottom-p.top) }

func (p *picture) legend(c chart.Chart, x, y float64) {
	if c.Heat != nil {
		x += 8 + p.text(x, y, 0, 12, false, mutedColor, "few")
		for i := range 110 {
			p.rect(x+float64(i), y-9, x+float64(i)+1.5, y+1, heatColor(math.Pow(float64(i)/110, 2)))
		}
		p.text(x+118, y, 0, 12, false, mutedColor, "all, of what arrived at that time")
		return
	}
	if len(c.Lines) == 1 && !c.Lines[0].Marks {
		return // the title says what it is
	}
	type entry struct {
		name string
		tone int
	}
	seen := map[entry]bool{}
	for _, l := range c.Lines {
		e := entry{l.Name, l.Tone}
		if !isShown(c, l) || seen[e] {
			continue
		}
		seen[e] = true
		if l.Tone >= 0 {
			p.line([][2]float64{{x, y - 4}, {x + 26, y - 4}}, 2.2, lineColor(l.Tone), l.Dash)
		}
		if l.Marks {
			p.mark(x+13, y-4, 4, lineColor(l.Tone), l.Dash == chart.Solid && l.Tone >= 0)
		}
		x += 34
		x += 22 + p.text(x, y, 0, 13, false, textColor, l.Name)
	}
}

// spans shades every other step, and labels those that have room.
func (p *picture) spans(c chart.Chart) {
	for i, s := range c.Spans {
		from, to := max(p.px(s.From), p.left), min(p.px(s.To), p.right)
		if to <= from {
			continue
		}
		if i%2 == 0 {
			p.rect(from, p.top, to, p.bottom, bandColor)
		}
		face := p.face(11, false)
		if float64(face.Width(s.Label)/pixel) < to-from-6 {
			p.text((from+to)/2, p.top+13, 0.5, 11, false, mutedColor, s.Label)
		}
	}
}

// series draws a line, interrupted where its points are not connected.
func (p *picture) series(l chart.Line, alone bool) {
	var part [][2]float64
	flush := func() {
		if alone && !l.Marks && len(part) > 1 {
			p.area(part, lineColor(l.Tone))
		}
		p.line(part, 2.2, lineColor(l.Tone), l.Dash)
		part = nil
	}
	for i, x := range l.X {
		if p.y.Log && l.Y[i] <= 0 || p.x.Log && x <= 0 {
			continue
		}
		if i > 0 && l.Gap > 0 && x-l.X[i-1] > l.Gap {
			flush()
		}
		part = append(part, [2]float64{p.px(x), p.py(l.Y[i])})
	}
	points := part
	flush()
	if !l.Marks {
		return
	}
	for _, q := range points {
		size := 4.5
		if l.Tone < 0 {
			size = 6.5
			p.text(q[0]-10, q[1]+18, 0.5, 12, false, mutedColor, l.Name)
		}
		p.mark(q[0], q[1], size, lineColor(l.Tone), l.Dash == chart.Solid && l.Tone >= 0)
	}
}

func (p *picture) limits(c chart.Chart) {
	for _, l := range c.Limits {
		if l.OfX {
			x := p.px(l.Value)
			p.line([][2]float64{{x, p.top}, {x, p.bottom}}, 1.4, mutedColor, chart.Dashed)
			align, shift := 0.0, 6.0
			face := p.face(12, false)
			if x+12+float64(face.Width(l.Label)/pixel) > p.right {
				align, shift = 1, -6
			}
			p.text(x+shift, p.bottom-8, align, 12, false, mutedColor, l.Label)
			continue
		}
		y, color := p.py(l.Value), limitColor
		if l.Published {
			color = publishedColor
		}
		p.line([][2]float64{{p.left, y}, {p.right, y}}, 1.4, color, chart.Dashed)
		p.text(p.left+6, y-6, 0, 12, false, color, l.Label)
	}
}

func (p *picture) heat(c chart.Chart) {
	if c.Heat == nil {
		return
	}
	h := c.Heat
	for i, shares := range h.Shares {
		left, right := p.px(h.From[i]), p.px(h.To[i])
		for band, share := range shares {
			if share > 0 {
				p.rect(left, p.py(h.Bounds[band+1]), max(right, left+1), p.py(h.Bounds[band]), heatColor(share))
			}
		}
	}
}

// heatColor returns the color of a share. It uses the square root, so that
// small shares are visible.
func heatColor(share float64) color.NRGBA {
	ramp := [][3]float64{{235, 242, 247}, {164, 202, 226}, {61, 138, 190}, {13, 72, 122}, {8, 36, 66}}
	place := math.Sqrt(min(max(share, 0), 1)) * float64(len(ramp)-1)
	below := min(int(place), len(ramp)-2)
	part := place - float64(below)
	mix := func(i int) uint8 { return uint8(ramp[below][i] + (ramp[below+1][i]-ramp[below][i])*part + 0.5) }
	return color.NRGBA{mix(0), mix(1), mix(2), 0xff}
}

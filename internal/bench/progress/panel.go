package progress

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

// panel is a few lines that are redrawn in place. Above it stays a line for
// each finished phase.
type panel struct {
	w     io.Writer
	title string
	size  func() (width, height int)
	now   func() time.Time
	color bool

	start, phaseStart time.Time // the run, and the phase
	name              string
	duration          time.Duration // of the phase; 0 if unknown
	totals            phaseTotals   // of the phase
	last              load.Second
	sent, delivered   []float64 // each second of the last minute

	drawn []int // how wide the lines are that stand there now
	ended bool
}

// phaseTotals sums up a phase.
type phaseTotals struct {
	sent, refused int64
	worst         float64 // p95 of a second
}

// historyLength is how many seconds the sparklines show.
const historyLength = 60

func newPanel(w io.Writer, title string, size func() (int, int), now func() time.Time, color bool) *panel {
	return &panel{w: w, title: title, size: size, now: now, color: color, start: now()}
}

// Control sequences of terminals (ECMA-48).
const (
	hideCursor, showCursor = "\x1b[?25l", "\x1b[?25h" // the cursor
	eraseLine              = "\x1b[K"
	eraseScreen            = "\x1b[J"
	resetStyle             = "\x1b[0m"
	bold, faint            = "\x1b[1m", "\x1b[2m"
	green, amber           = "\x1b[32m", "\x1b[33m"
	blue                   = "\x1b[34m"
)

func (p *panel) phase(what string, length time.Duration) {
	past := p.finishedLine()
	p.name, p.duration, p.phaseStart, p.totals = what, length, p.now(), phaseTotals{}
	p.redraw(past)
}

func (p *panel) second(s load.Second) {
	p.totals.sent += s.Sent
	p.totals.refused += s.Refused
	p.totals.worst = max(p.totals.worst, s.P95)
	if passed := s.At - p.last.At; passed > 0 && passed < 0.5 {
		return // the rest of a phase, too short for a rate
	}
	p.last = s
	p.sent, p.delivered = appendRecent(p.sent, float64(s.Sent)), appendRecent(p.delivered, float64(s.Delivered))
	p.draw()
}

func appendRecent(all []float64, v float64) []float64 {
	all = append(all, v)
	return all[max(0, len(all)-historyLength):]
}

func (p *panel) draw() {
	if p.name != "" && !p.ended {
		p.redraw(nil)
	}
}

// close draws the last state, and shows the cursor again.
func (p *panel) close() {
	if p.ended {
		return
	}
	if past := p.finishedLine(); past != nil {
		p.name = ""
		p.redraw(past)
	}
	p.ended = true
	_, _ = io.WriteString(p.w, showCursor)
}

// finishedLine returns the line that stays of the previous phase.
func (p *panel) finishedLine() []string {
	if p.name == "" {
		return nil
	}
	width, _ := p.size()
	l := &line{color: p.color, left: width - 1}
	l.add(green, "✓ ").add("", p.name).add(faint, "  "+humanize.Duration(p.now().Sub(p.phaseStart)))
	if p.totals.sent > 0 {
		l.addIfFits(faint, fmt.Sprintf("  %s sent", humanize.Number(float64(p.totals.sent))))
		l.addIfFits(faint, "  p95 at most "+humanize.Format(p.totals.worst, humanize.Milliseconds))
	}
	if p.totals.refused > 0 {
		l.addIfFits(amber, fmt.Sprintf("  %s refused", humanize.Number(float64(p.totals.refused))))
	}
	return []string{l.String()}
}

// redraw draws the panel over the previous one, below lines that stay. It
// writes once, so that nothing flickers.
func (p *panel) redraw(stay []string) {
	width, height := p.size()
	var b strings.Builder
	b.WriteString(hideCursor)
	if up := p.height(width); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString("\r")
	for _, l := range stay {
		b.WriteString(l + eraseLine + "\n")
	}
	p.drawn = p.drawn[:0]
	panel := p.lines(max(width-1, 10))
	for _, l := range panel[:min(len(panel), max(height-1, 1))] {
		b.WriteString(l.String() + eraseLine + "\n")
		p.drawn = append(p.drawn, l.width)
	}
	b.WriteString(eraseScreen)
	_, _ = io.WriteString(p.w, b.String())
}

// height returns how many terminal lines the last panel takes at a width, which
// may have become narrower.
func (p *panel) height(width int) int {
	n := 0
	for _, w := range p.drawn {
		n += max(1, (w+width-1)/width)
	}
	return n
}

func (p *panel) lines(width int) []*line {
	begin := func(name string) *line {
		l := &line{color: p.color, left: width}
		if name != "" {
			l.add(faint, fmt.Sprintf("  %-9s ", name))
		}
		return l
	}
	s := &p.last
	top := begin("")
	top.add(bold, p.title).addIfFits(faint, "  "+humanize.Duration(p.now().Sub(p.start)))
	lines := []*line{begin(""), top}
	if p.name != "" {
		lines = append(lines, p.progress(begin("")))
	}

	graph := min(historyLength, width-32)
	lines = append(lines,
		begin("sent").add("", fmt.Sprintf("%10s", humanize.Format(float64(s.Sent), humanize.PerSecond))).addIfFits(blue, "  "+sparkline(p.sent, graph)),
		begin("arrived").add("", fmt.Sprintf("%10s", humanize.Format(float64(s.Delivered), humanize.PerSecond))).addIfFits(blue, "  "+sparkline(p.delivered, graph)),
	)
	latency := begin("latency")
	for _, q := range []struct {
		name  string
		value float64
	}{{"p50", s.P50}, {"p95", s.P95}, {"p99", s.P99}} {
		value := fmt.Sprintf("%-10s", humanize.Format(q.value, humanize.Milliseconds))
		if len(q.name)+1+len(value) > latency.left {
			break
		}
		latency.add(faint, q.name+" ").add(bold, value)
	}
	now := begin("now").addIfFits("", count(s.InFlight)+" in flight").addIfFits("", "  "+count(s.Connected)+" connected")
	refused := ""
	if p.totals.refused > 0 {
		refused = amber
	}
	now.addIfFits(refused, "  "+count(p.totals.refused)+" refused").addIfFits("", "  "+count(s.Queue)+" accepted, not yet arrived")
	lines = append(lines, latency, now)
	if s.MemoryMiB > 0 {
		lines = append(lines, begin("server").addIfFits("", humanize.Format(s.MemoryMiB, humanize.MiB)).addIfFits("", "  "+humanize.Format(s.CPU, humanize.Processors)))
	}
	return lines
}

func count(n int64) string { return humanize.Number(float64(n)) }

// progress shows the phase, a progress bar, and the remaining time.
func (p *panel) progress(l *line) *line {
	passed := p.now().Sub(p.phaseStart)
	l.add(bold, p.name)
	if p.duration <= 0 {
		return l.addIfFits(faint, "  "+humanize.Duration(passed))
	}
	left := ", " + humanize.Duration(p.duration-passed) + " left"
	if passed > p.duration {
		left = ", waiting for what is on its way"
	}
	if bar := min(30, l.left-utf8.RuneCountInString(left)-14); bar >= 8 {
		full := int(float64(bar) * min(1, passed.Seconds()/p.duration.Seconds()))
		l.addIfFits(blue, "  "+strings.Repeat("━", full)).addIfFits(faint, strings.Repeat("─", bar-full))
	}
	return l.addIfFits("", "  "+humanize.Duration(min(passed, p.duration))).addIfFits(faint, left)
}

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

// panel is a few lines that are drawn over each other. What has ended stays
// above it, a line for each phase.
type panel struct {
	w     io.Writer
	title string
	size  func() (width, height int)
	now   func() time.Time
	color bool

	began, since time.Time // the run, and the phase
	what         string
	length       time.Duration // of the phase; 0 when nobody knows
	seen         tally         // of the phase
	last         load.Second
	sent, came   []float64 // each second of the last minute

	drawn []int // how wide the lines are that stand there now
	ended bool
}

// tally is what a phase did.
type tally struct {
	sent, refused int64
	worst         float64 // p95 of a second
}

// minute is how far back the sparklines go.
const minute = 60

func newPanel(w io.Writer, title string, size func() (int, int), now func() time.Time, color bool) *panel {
	return &panel{w: w, title: title, size: size, now: now, color: color, began: now()}
}

// Control sequences of terminals (ECMA-48).
const (
	hide, show   = "\x1b[?25l", "\x1b[?25h" // the cursor
	toLineEnd    = "\x1b[K"
	toScreenEnd  = "\x1b[J"
	plain        = "\x1b[0m"
	bold, faint  = "\x1b[1m", "\x1b[2m"
	green, amber = "\x1b[32m", "\x1b[33m"
	blue         = "\x1b[34m"
)

func (p *panel) phase(what string, length time.Duration) {
	past := p.past()
	p.what, p.length, p.since, p.seen = what, length, p.now(), tally{}
	p.put(past)
}

func (p *panel) second(s load.Second) {
	p.seen.sent += s.Sent
	p.seen.refused += s.Refused
	p.seen.worst = max(p.seen.worst, s.P95)
	if passed := s.At - p.last.At; passed > 0 && passed < 0.5 {
		return // the rest of a stretch, from which no rate can be told
	}
	p.last = s
	p.sent, p.came = recent(p.sent, float64(s.Sent)), recent(p.came, float64(s.Delivered))
	p.draw()
}

func recent(all []float64, v float64) []float64 {
	all = append(all, v)
	return all[max(0, len(all)-minute):]
}

func (p *panel) draw() {
	if p.what != "" && !p.ended {
		p.put(nil)
	}
}

// close leaves what was seen last, and gives the terminal back.
func (p *panel) close() {
	if p.ended {
		return
	}
	if past := p.past(); past != nil {
		p.what = ""
		p.put(past)
	}
	p.ended = true
	_, _ = io.WriteString(p.w, show)
}

// past is the line that stays of the phase before.
func (p *panel) past() []string {
	if p.what == "" {
		return nil
	}
	width, _ := p.size()
	l := &line{color: p.color, room: width - 1}
	l.add(green, "✓ ").add("", p.what).add(faint, "  "+humanize.Time(p.now().Sub(p.since)))
	if p.seen.sent > 0 {
		l.maybe(faint, fmt.Sprintf("  %s sent", humanize.Number(float64(p.seen.sent))))
		l.maybe(faint, "  p95 at most "+humanize.Write(p.seen.worst, humanize.Milliseconds))
	}
	if p.seen.refused > 0 {
		l.maybe(amber, fmt.Sprintf("  %s refused", humanize.Number(float64(p.seen.refused))))
	}
	return []string{l.String()}
}

// put draws the panel over the one before, below what shall stay; all in one
// write, so that nothing flickers.
func (p *panel) put(stay []string) {
	width, height := p.size()
	var b strings.Builder
	b.WriteString(hide)
	if up := p.height(width); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString("\r")
	for _, l := range stay {
		b.WriteString(l + toLineEnd + "\n")
	}
	p.drawn = p.drawn[:0]
	panel := p.lines(max(width-1, 10))
	for _, l := range panel[:min(len(panel), max(height-1, 1))] {
		b.WriteString(l.String() + toLineEnd + "\n")
		p.drawn = append(p.drawn, l.width)
	}
	b.WriteString(toScreenEnd)
	_, _ = io.WriteString(p.w, b.String())
}

// height is how many lines of a terminal the last panel takes, which may have
// become narrower since.
func (p *panel) height(width int) int {
	n := 0
	for _, w := range p.drawn {
		n += max(1, (w+width-1)/width)
	}
	return n
}

func (p *panel) lines(width int) []*line {
	begin := func(name string) *line {
		l := &line{color: p.color, room: width}
		if name != "" {
			l.add(faint, fmt.Sprintf("  %-9s ", name))
		}
		return l
	}
	s := &p.last
	top := begin("")
	top.add(bold, p.title).maybe(faint, "  "+humanize.Time(p.now().Sub(p.began)))
	lines := []*line{begin(""), top}
	if p.what != "" {
		lines = append(lines, p.progress(begin("")))
	}

	graph := min(minute, width-32)
	lines = append(lines,
		begin("sent").add("", fmt.Sprintf("%10s", humanize.Write(float64(s.Sent), humanize.PerSecond))).maybe(blue, "  "+sparkline(p.sent, graph)),
		begin("arrived").add("", fmt.Sprintf("%10s", humanize.Write(float64(s.Delivered), humanize.PerSecond))).maybe(blue, "  "+sparkline(p.came, graph)),
	)
	latency := begin("latency")
	for _, q := range []struct {
		name  string
		value float64
	}{{"p50", s.P50}, {"p95", s.P95}, {"p99", s.P99}} {
		value := fmt.Sprintf("%-10s", humanize.Write(q.value, humanize.Milliseconds))
		if len(q.name)+1+len(value) > latency.room {
			break
		}
		latency.add(faint, q.name+" ").add(bold, value)
	}
	now := begin("now").maybe("", count(s.InFlight)+" in flight").maybe("", "  "+count(s.Connected)+" connected")
	refused := ""
	if p.seen.refused > 0 {
		refused = amber
	}
	now.maybe(refused, "  "+count(p.seen.refused)+" refused").maybe("", "  "+count(s.Queue)+" accepted, not yet arrived")
	lines = append(lines, latency, now)
	if s.MemoryMiB > 0 {
		lines = append(lines, begin("server").maybe("", humanize.Write(s.MemoryMiB, humanize.MiB)).maybe("", "  "+humanize.Write(s.CPU, humanize.Processors)))
	}
	return lines
}

func count(n int64) string { return humanize.Number(float64(n)) }

// progress is the phase, how far it is, and how long it still takes.
func (p *panel) progress(l *line) *line {
	passed := p.now().Sub(p.since)
	l.add(bold, p.what)
	if p.length <= 0 {
		return l.maybe(faint, "  "+humanize.Time(passed))
	}
	left := ", " + humanize.Time(p.length-passed) + " left"
	if passed > p.length {
		left = ", waiting for what is on its way"
	}
	if bar := min(30, l.room-utf8.RuneCountInString(left)-14); bar >= 8 {
		full := int(float64(bar) * min(1, passed.Seconds()/p.length.Seconds()))
		l.maybe(blue, "  "+strings.Repeat("━", full)).maybe(faint, strings.Repeat("─", bar-full))
	}
	return l.maybe("", "  "+humanize.Time(min(passed, p.length))).maybe(faint, left)
}

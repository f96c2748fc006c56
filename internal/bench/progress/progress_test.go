package progress

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

var update = flag.Bool("update", false, "write the golden files anew")

// terminal is as much of one as a panel needs: it keeps what stands on it, and
// knows whether the cursor is to be seen.
type terminal struct {
	width, height int
	rows          [][]rune
	row, column   int
	hidden        bool
	writes        int
}

var control = regexp.MustCompile(`^\x1b\[(\??)(\d*)([A-Za-z])`)

func (t *terminal) Write(b []byte) (int, error) {
	t.writes++
	for text := string(b); text != ""; {
		if m := control.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[2])
			t.control(m[1]+m[3], n)
			text = text[len(m[0]):]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch r {
		case '\r':
			t.column = 0
		case '\n':
			t.row, t.column = t.row+1, 0
		default:
			if t.column == t.width {
				t.row, t.column = t.row+1, 0
			}
			t.grow()
			for len(t.rows[t.row]) <= t.column {
				t.rows[t.row] = append(t.rows[t.row], ' ')
			}
			t.rows[t.row][t.column] = r
			t.column++
		}
		t.grow()
	}
	return len(b), nil
}

func (t *terminal) grow() {
	for len(t.rows) <= t.row {
		t.rows = append(t.rows, nil)
	}
}

func (t *terminal) control(name string, n int) {
	switch name {
	case "A":
		t.row -= n
	case "K":
		t.rows[t.row] = t.rows[t.row][:min(t.column, len(t.rows[t.row]))]
	case "J":
		t.rows[t.row] = t.rows[t.row][:min(t.column, len(t.rows[t.row]))]
		t.rows = t.rows[:t.row+1]
	case "m":
	case "?l", "?h":
		t.hidden = name == "?l"
	default:
		panic("the terminal does not know " + name)
	}
}

func (t *terminal) String() string {
	var b strings.Builder
	for _, r := range t.rows {
		b.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// screen is a panel on a terminal, with a clock of the test's own.
func screen(width, height int, color bool) (*panel, *terminal, *time.Time) {
	clock := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	t := &terminal{width: width, height: height}
	return newPanel(t, "latency of hikyaku at http://127.0.0.1:8080", func() (int, int) { return t.width, t.height }, func() time.Time { return clock }, color), t, &clock
}

// replay is a short run: two phases of ten seconds, and the check.
func replay(p *panel, clock *time.Time, seconds int) {
	p.phase("make accounts and conversations", 0)
	*clock = clock.Add(2 * time.Second)
	for i := range seconds {
		if i%10 == 0 {
			p.phase(fmt.Sprintf("%d/s", 500<<(i/10)), 12*time.Second)
		}
		*clock = clock.Add(time.Second)
		rate := int64(500<<(i/10)) + int64(i%5)*40
		p.second(load.Second{
			At: float64(i + 1), Sent: rate, Accepted: rate, Delivered: 2 * rate, InFlight: 12, Queue: 3, Connected: 200,
			Refused: int64(i / 15), P50: 1.2, P95: 4.8 + float64(i), P99: 9.1, MemoryMiB: 212.4, CPU: 1.37,
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name + ".txt"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || got != string(want) {
		t.Errorf("%s is not what it was (go test ./internal/bench/progress -update writes it anew): %v\n%s", path, err, got)
	}
}

// What stands on terminals of some widths in the middle of a run, and afterwards.
func TestPanel(t *testing.T) {
	for _, width := range []int{120, 80, 40, 20} {
		p, screen, clock := screen(width, 24, true)
		replay(p, clock, 17)
		golden(t, fmt.Sprintf("panel-%d", width), screen.String())
		for i, r := range screen.rows {
			if len(r) >= width {
				t.Errorf("row %d of %d columns has %d", i, width, len(r))
			}
		}
		if !screen.hidden {
			t.Error("the cursor is to be seen")
		}
	}
	p, screen, clock := screen(100, 24, true)
	replay(p, clock, 17)
	p.second(load.Second{At: 17.01, Sent: 1, P95: 99}) // the rest of a second is no second
	p.close()
	p.close()
	p.draw()
	golden(t, "closed", screen.String())
	if screen.hidden || screen.column != 0 {
		t.Error("the cursor is away, or in the middle of a line")
	}
}

// A drawing is one write, which erases nothing that it does not write again.
func TestNoFlicker(t *testing.T) {
	p, screen, clock := screen(80, 24, true)
	replay(p, clock, 5)
	writes := screen.writes
	p.draw()
	p.draw()
	if screen.writes != writes+2 {
		t.Errorf("%d writes for 2 drawings", screen.writes-writes)
	}
	var b bytes.Buffer
	p.w = &b
	p.draw()
	if strings.Contains(b.String(), "\x1b[2J") || strings.Index(b.String(), eraseScreen) < strings.LastIndex(b.String(), "\n") {
		t.Errorf("%q", b.String())
	}
}

func TestNoColor(t *testing.T) {
	var b bytes.Buffer
	p, _, clock := screen(80, 24, false)
	p.w = &b
	replay(p, clock, 3)
	if regexp.MustCompile(`\x1b\[\d*m`).MatchString(b.String()) {
		t.Errorf("%q", b.String())
	}
}

// A terminal that becomes narrower breaks the lines that stand there; the next
// drawing covers them all the same.
func TestNarrowedTerminal(t *testing.T) {
	p, screen, clock := screen(100, 24, true)
	replay(p, clock, 3)
	var broken [][]rune
	for _, r := range screen.rows[:len(screen.rows)-1] {
		for ; len(r) > 50; r = r[50:] {
			broken = append(broken, r[:50])
		}
		broken = append(broken, r)
	}
	screen.width, screen.rows, screen.row = 50, append(broken, nil), len(broken)
	p.draw()
	if n := strings.Count(screen.String(), "latency of hikyaku"); n != 1 {
		t.Errorf("the panel stands there %d times:\n%s", n, screen)
	}
}

// A low terminal shows as much of the panel as it has lines for: what has
// scrolled away could not be drawn over.
func TestLowTerminal(t *testing.T) {
	p, screen, clock := screen(80, 5, true)
	replay(p, clock, 3)
	if len(p.drawn) != 4 || strings.Count(screen.String(), "latency of hikyaku") != 1 {
		t.Errorf("%d lines:\n%s", len(p.drawn), screen)
	}
}

// Between seconds the time left goes down, and nothing goes on after Close.
func TestTerminalView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		screen := &terminal{width: 80, height: 24}
		v := &terminalView{panel: newPanel(screen, "burst of hikyaku", func() (int, int) { return 80, 24 }, time.Now, true), stop: make(chan struct{}), done: make(chan struct{})}
		go v.run()
		v.Phase("burst of 20000/s", 30*time.Second)
		time.Sleep(12500 * time.Millisecond)
		synctest.Wait()
		if !strings.Contains(screen.String(), "18 s left") {
			t.Errorf("%s", screen)
		}
		v.Second(load.Second{At: 1, Sent: 20_000})
		v.Close()
		v.Close()
		writes := screen.writes
		time.Sleep(time.Minute)
		if screen.writes != writes {
			t.Error("it goes on")
		}
	})
}

// Where there is no terminal there are lines, and no control sequences.
func TestLineView(t *testing.T) {
	var b bytes.Buffer
	v := New(&b, "latency of hikyaku")
	v.Phase("500/s", 12*time.Second)
	v.Second(load.Second{At: 1, Sent: 500, Delivered: 1000, P50: 1, P95: 2, P99: 3, Connected: 200})
	v.Second(load.Second{At: 2, Sent: 500, Delivered: 1000, P50: 1, P95: 2, P99: 3, Connected: 200, MemoryMiB: 50, CPU: 0.5, Refused: 4})
	v.Phase("check every message", 0)
	v.Close()
	golden(t, "lines", b.String())
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, ok := New(f, "").(*lineView); !ok {
		t.Error("a file is taken for a terminal")
	}
}

// Package progress shows the progress of a run of the load tool: as a panel
// that is redrawn in place on a terminal, and as lines everywhere else.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
)

// View shows the progress of a run. Close leaves the last state on the screen,
// and must be called before anything else is written to the same output;
// closing again does nothing.
type View interface {
	scenario.Observer
	Close()
}

// redrawInterval is how often the panel is redrawn, so that the remaining time
// counts down.
const redrawInterval = 250 * time.Millisecond

// New shows a run with a title, such as "latency of hikyaku". If w is a
// terminal with cursor control it draws a panel, otherwise it writes lines.
// NO_COLOR is respected.
func New(w io.Writer, title string) View {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return &lineView{w: w}
	}
	size := func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}
	p := newPanel(w, title, size, time.Now, os.Getenv("NO_COLOR") == "")
	t := &terminalView{panel: p, stop: make(chan struct{}), done: make(chan struct{})}
	go t.run()
	return t
}

// terminalView redraws a panel at intervals.
type terminalView struct {
	mu    sync.Mutex // guards panel
	panel *panel
	once  sync.Once
	stop  chan struct{}
	done  chan struct{}
}

func (t *terminalView) run() {
	defer close(t.done)
	tick := time.NewTicker(redrawInterval)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
			t.mu.Lock()
			t.panel.draw()
			t.mu.Unlock()
		}
	}
}

func (t *terminalView) Phase(what string, length time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.panel.phase(what, length)
}

func (t *terminalView) Second(s load.Second) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.panel.second(s)
}

func (t *terminalView) Close() {
	t.once.Do(func() {
		close(t.stop)
		<-t.done
		t.panel.close()
	})
}

// lineView writes a line for each second.
type lineView struct {
	w io.Writer
}

func (l *lineView) Phase(what string, length time.Duration) {
	if length > 0 {
		what += ", " + humanize.Duration(length)
	}
	_, _ = fmt.Fprintln(l.w, what)
}

func (l *lineView) Second(s load.Second) {
	text := fmt.Sprintf("  %4.0f s  sent %6d  arrived %6d  in flight %6d  accepted, not yet arrived %6d  p50 %7.1f ms  p95 %7.1f ms  p99 %7.1f ms  refused %d  connected %d",
		s.At, s.Sent, s.Delivered, s.InFlight, s.Queue, s.P50, s.P95, s.P99, s.Refused, s.Connected)
	if s.MemoryMiB > 0 {
		text += fmt.Sprintf("  server %.0f MiB  cpu %.2f", s.MemoryMiB, s.CPU)
	}
	_, _ = fmt.Fprintln(l.w, text)
}

func (l *lineView) Close() {}

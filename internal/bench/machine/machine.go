// Package machine measures how fast a machine is at what small batches cost: a
// context switch, the wake-up of a processor, a system call, a write that is on
// the disk, a hand-over between goroutines. Figures of two machines, or of one in
// two hours, can only be compared with these beside them.
package machine

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
)

// Speed is what a machine needs for each, the median of several rounds. What
// could not be measured on a system is 0, and absent in JSON.
type Speed struct {
	// ContextSwitchUS is one switch between two processes that wake each other
	// over pipes on one processor, the system calls for it included.
	ContextSwitchUS float64 `json:"context_switch_us,omitempty"`
	// WakeUpUS is the same between two processors, each of which has to be waked
	// when it is idle.
	WakeUpUS    float64 `json:"wake_up_us,omitempty"`
	SyscallNS   float64 `json:"syscall_ns,omitempty"`   // a system call that does nothing
	FdatasyncMS float64 `json:"fdatasync_ms,omitempty"` // after 4 KiB that overwrite those of a file
	FdatasyncIn string  `json:"fdatasync_in,omitempty"` // the folder of that file
	GoroutineNS float64 `json:"goroutine_ns,omitempty"` // one hand-over over a channel without a buffer
}

// Options say how to measure.
type Options struct {
	// Echo returns a command that runs [Echo]; it is started several times.
	Echo func(ctx context.Context) (*exec.Cmd, error)
	// Folder is where a small file is written, which is removed again.
	Folder string
}

const (
	rounds = 9
	// roundTime is how long each round takes: five figures of nine rounds take
	// less than a second.
	roundTime = 15 * time.Millisecond
)

// Measure measures the machine, in less than three seconds on a quiet one. The
// error says what could not be measured, beside all that was. Nothing else
// should run meanwhile.
func Measure(ctx context.Context, o Options) (Speed, error) {
	s := Speed{GoroutineNS: goroutineHandOver()}
	err := s.measureSystem(ctx, o)
	return s, err
}

// perRound calls f, which does something n times, for several rounds, and returns
// the median of the times for one, in nanoseconds.
func perRound(n int, f func(n int) error) (float64, error) {
	if err := f(n); err != nil { // what is done first is slower
		return 0, err
	}
	each := make([]float64, rounds)
	for i := range each {
		began, done := time.Now(), 0
		for done == 0 || time.Since(began) < roundTime {
			if err := f(n); err != nil {
				return 0, err
			}
			done += n
		}
		each[i] = float64(time.Since(began)) / float64(done)
	}
	slices.Sort(each)
	return each[rounds/2], nil
}

// goroutineHandOver returns the nanoseconds of one hand-over.
func goroutineHandOver() float64 {
	there, back := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range there {
			back <- struct{}{}
		}
	}()
	each, _ := perRound(100, func(n int) error {
		for range n {
			there <- struct{}{}
			<-back
		}
		return nil
	})
	close(there)
	<-ended
	return each / 2
}

// Command returns a command of this program for [Options].Echo.
func Command(args ...string) func(ctx context.Context) (*exec.Cmd, error) {
	return func(ctx context.Context) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return exec.CommandContext(ctx, self, args...), nil
	}
}

// String returns the figures for a line of text.
func (s Speed) String() string {
	text := ""
	for _, f := range s.Figures() {
		if text != "" {
			text += ", "
		}
		text += f.Name + " " + f.Value
		if f.Name == fdatasyncName {
			text += " in " + s.FdatasyncIn
		}
	}
	return text
}

const fdatasyncName = "fdatasync"

// Figure is one that was measured, for people.
type Figure struct{ Name, Value string }

// Figures returns what was measured.
func (s Speed) Figures() (all []Figure) {
	add := func(ns float64, name string) {
		if ns > 0 {
			all = append(all, Figure{name, format(ns)})
		}
	}
	add(s.ContextSwitchUS*1e3, "context switch")
	add(s.WakeUpUS*1e3, "wake-up of another processor")
	add(s.SyscallNS, "system call")
	add(s.FdatasyncMS*1e6, fdatasyncName)
	add(s.GoroutineNS, "hand-over between goroutines")
	return all
}

// format formats nanoseconds in the unit that fits.
func format(ns float64) string {
	switch {
	case ns < 1e3:
		return humanize.Number(ns) + " ns"
	case ns < 1e6:
		return humanize.Format(ns/1e3, humanize.Microseconds)
	}
	return humanize.Format(ns/1e6, humanize.Milliseconds)
}

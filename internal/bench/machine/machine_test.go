package machine_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/machine"
)

// TestMain is the other process where the tests start it as one.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"echo"}) {
		if err := machine.Echo(); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// Every figure is one that a machine can have: none is made up.
func TestMeasure(t *testing.T) {
	folder := t.TempDir()
	began := time.Now()
	s, err := machine.Measure(t.Context(), machine.Options{Echo: machine.Command("echo"), Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, in %v", s, time.Since(began))
	between := func(what string, v, low, high float64) {
		if v < low || v > high {
			t.Errorf("%s: %v, not between %v and %v", what, v, low, high)
		}
	}
	between("goroutine", s.GoroutineNS, 20, 1e7)
	between("system call", s.SyscallNS, 5, 1e6)
	if runtime.GOOS != "linux" {
		return
	}
	between("context switch", s.ContextSwitchUS, 0.2, 1e5)
	if runtime.NumCPU() > 1 {
		between("wake-up", s.WakeUpUS, 0.2, 1e5)
	}
	between("fdatasync", s.FdatasyncMS, 1e-5, 1e4)
	if s.FdatasyncIn != folder || len(s.Figures()) < 4 || !strings.Contains(s.String(), " in "+folder) {
		t.Errorf("%+v, %s", s, s)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// What cannot be measured is absent, and the error says why; the rest is there.
func TestWhatCannotBeMeasured(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is not measured here anyway")
	}
	missing := filepath.Join(t.TempDir(), "missing")
	no := func(context.Context) (*exec.Cmd, error) { return nil, errors.New("no such program") }
	s, err := machine.Measure(t.Context(), machine.Options{Echo: no, Folder: missing})
	if err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "no such program") {
		t.Error(err)
	}
	text, err := json.Marshal(s)
	if err != nil || strings.Contains(string(text), "switch") || strings.Contains(string(text), "fdatasync") || !strings.Contains(string(text), "syscall_ns") {
		t.Errorf("%s, %v", text, err)
	}
	// A process that answers nothing ends the measurement.
	s, err = machine.Measure(t.Context(), machine.Options{Echo: func(ctx context.Context) (*exec.Cmd, error) {
		return exec.CommandContext(ctx, "true"), nil
	}, Folder: t.TempDir()})
	if err == nil || s.ContextSwitchUS != 0 || s.FdatasyncMS == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Each figure stands in the unit that fits it.
func TestFigures(t *testing.T) {
	s := machine.Speed{ContextSwitchUS: 0.95, WakeUpUS: 1420, SyscallNS: 157.4, FdatasyncMS: 0.14, FdatasyncIn: "/data"}
	const want = "context switch 950 ns, wake-up of another processor 1.42 ms, system call 157 ns, fdatasync 140 µs in /data"
	if got := s.String(); got != want {
		t.Error(got)
	}
}

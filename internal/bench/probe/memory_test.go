package probe

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

func TestParseMeminfo(t *testing.T) {
	const good = "MemTotal:       24683736 kB\nMemFree:        20688000 kB\nMemAvailable:   23343000 kB\nBuffers:             736 kB\n" +
		"Cached:          1000000 kB\nSwapCached:            7 kB\nShmem:              5000 kB\n"
	if m, err := parseMeminfo(good); err != nil || m.Used != 3_000_000*1024 || m.Available != 23_343_000*1024 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"", strings.Replace(good, "MemFree", "Free", 1), strings.Replace(good, "20688000", "many", 1), strings.Replace(good, "\nCached:", "\nXCached:", 1)} {
		if m, err := parseMeminfo(bad); err == nil {
			t.Errorf("%q: %+v", bad, m)
		}
	}
}

// A process that this one has started is the tool's, unless it is a server's.
func TestToolAndMachine(t *testing.T) {
	if !hasProcfs {
		t.Skip("/proc is Linux's")
	}
	child := startSleeper(t)
	alone, err := Tool{Server{Processes: []Process{{PID: child}}}}.Sample(t.Context())
	if err != nil || alone.MemoryMiB <= 0 {
		t.Fatalf("%+v, %v", alone, err)
	}
	with, err := Tool{}.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := Machine{}.Sample(t.Context())
	if err != nil || all.MemoryMiB < alone.MemoryMiB {
		t.Errorf("%+v of the machine, %+v of the tool, %v", all, alone, err)
	}
	its, err := Process{PID: child}.Sample(t.Context())
	if err != nil || its.MemoryMiB <= 0 || with.MemoryMiB < its.MemoryMiB {
		t.Errorf("%+v of the child, %+v with it, %v", its, with, err)
	}
}

// startSleeper starts a process that waits until the test ends.
func startSleeper(t *testing.T) (pid int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(eventually.Context(t), self)
	child.Env = append(os.Environ(), "PROBED_SERVER=1")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = child.Wait()
	})
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return child.Process.Pid
}

package nullserver_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/bench/nullserver"
)

// serverEnv is the environment variable that makes the test binary a null
// server.
const serverEnv = "NULL_SERVER"

// heartbeat is what the servers ask for.
const heartbeat = 5 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) == "" {
		os.Exit(m.Run())
	}
	s, err := nullserver.Start(context.Background(), "127.0.0.1:0", heartbeat)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the process that started it
	_ = s.Close()
}

// process is a null server in a process of its own.
type process struct {
	url string
	pid int
}

// start starts a null server on one processor, or on any when processor is -1.
func start(tb testing.TB, processor int) *process {
	tb.Helper()
	cmd := exec.CommandContext(context.Background(), os.Args[0]) // it ends with its standard input
	cmd.Env = append(os.Environ(), serverEnv+"=1", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	// A process has the processors of the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore := pinThread(tb, 0, processor)
	err = cmd.Start()
	restore()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("the null server: %v", err)
		}
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatalf("the null server did not start: %v", err)
	}
	return &process{url: strings.TrimSpace(url), pid: cmd.Process.Pid}
}

// pinThread has a thread of this process, 0 for the present one, run on one
// processor, until what it gives is called.
func pinThread(tb testing.TB, tid, processor int) (restore func()) {
	tb.Helper()
	if processor < 0 {
		return func() {}
	}
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &before); err != nil {
		tb.Fatal(err)
	}
	one.Set(processor)
	if err := unix.SchedSetaffinity(tid, &one); err != nil {
		tb.Fatal(err)
	}
	return func() { _ = unix.SchedSetaffinity(tid, &before) }
}

// pin has this process run on one processor until the benchmark ends.
func pin(tb testing.TB, processor int) {
	tb.Helper()
	before := runtime.GOMAXPROCS(1)
	tb.Cleanup(func() { runtime.GOMAXPROCS(before) })
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		tb.Fatal(err)
	}
	// Threads to come have the processors of those that start them.
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(pinThread(tb, tid, processor))
	}
}

// cpuTime is the processor time of a process so far.
func cpuTime(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	sum := 0
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			tb.Fatal(err)
		}
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond
}

// residentMemory is how much memory this process has, in bytes.
func residentMemory(tb testing.TB) int64 {
	tb.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return kb << 10
}

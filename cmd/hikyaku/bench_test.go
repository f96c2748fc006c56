package main

import (
	"context"
	"encoding/gob"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// TestMain is the program itself where the tests start it as one: the load tool
// has several processes, and starts systems.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
		return
	}
	os.Exit(m.Run())
}

// serving runs a server of this binary, with its data in a folder, and returns
// its address.
func serving(t *testing.T, dir string) (url string) {
	t.Helper()
	stacktest.SkipIfShort(t)
	ctx, stop := context.WithCancel(t.Context())
	out := &lines{ready: make(chan string, 1)}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{
			"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--hash-memory", "64", "--rate", "1000", "--burst", "1000",
		}, nil, streams{in: strings.NewReader(""), out: out, err: out})
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	select {
	case url = <-out.ready:
	case code := <-ended:
		ended <- code
		t.Fatalf("the server ended with %d", code)
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not start")
	}
	return url
}

// One of several processes of a run ends when it is asked to, though the first
// says nothing.
func TestAgentEndsOnSignal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.CommandContext(eventually.Context(t), self, "bench", "hand")
	in, err := agent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	agent.Stderr = &said
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	// It answers what it cannot do, so it reads.
	if err := gob.NewEncoder(in).Encode(struct{ Check bool }{true}); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := agent.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- agent.Wait() }()
	var exit *exec.ExitError
	if err := eventually.Receive(t, "the process ends", ended); !errors.As(err, &exit) || exit.ExitCode() != exitError || !strings.Contains(said.String(), "read the coordinator's command") {
		t.Errorf("%v: %s", err, said.String())
	}
}

func readReport(t *testing.T, path string) *report.Report {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := report.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A run against a server: its report is written, and conditions decide the exit
// code.
func TestBench(t *testing.T) {
	t.Parallel()
	url, file := serving(t, t.TempDir()), filepath.Join(t.TempDir(), "report.json")
	args := []string{"bench", "latency", "--url", url, "--users", "4", "--from", "50", "--to", "100", "--factor", "2", "--step", "1s", "--warm-up", "0s", "--max-p95", "1m"}
	r := hikyaku(t.Context(), t, "", nil, append(args, "--json", file, "--fail-if", "lost>0")...)
	if r.code != exitOK || !strings.Contains(r.out, "150 sent, 150 accepted") {
		t.Errorf("%+v", r)
	}
	if got := readReport(t, file); got.Rate != 100 || got.Sent != 150 || got.Delivered != 300 {
		t.Errorf("%+v", got)
	}
	r = hikyaku(t.Context(), t, "", nil, append(args, "--halvings", "0", "--max-p95", "1us")...)
	if r.code != exitThreshold || !strings.Contains(r.err, "no rate was sustained") {
		t.Errorf("%+v", r)
	}
	r = hikyaku(t.Context(), t, "", nil, append(args, "--to", "50", "--fail-if", "sent>=50")...)
	if r.code != exitThreshold || !strings.Contains(r.err, "sent>=50 (it is 50)") {
		t.Errorf("%+v", r)
	}
}

func TestBenchScenarios(t *testing.T) {
	t.Parallel()
	url := serving(t, t.TempDir())
	for name, c := range map[string]struct {
		args []string
		ok   func(r *report.Report) bool
	}{
		"burst": {
			[]string{"--users", "10", "--load", "500", "--length", "1s"},
			func(r *report.Report) bool { return r.Sent == 500 && len(r.Steps) == 1 },
		},
		"connections": {
			[]string{"--count", "40", "--hold", "1s", "--sample", "8", "--rate", "20", "--processes", "2", "--server-pid", strconv.Itoa(os.Getpid())},
			func(r *report.Report) bool {
				return r.Connections.Succeeded == 40 && r.Connections.Ended == 0 && r.Connections.ServerMiB > 0 && r.Sent == 100
			},
		},
		"fanout": {
			[]string{"--sizes", "5,20", "--deliveries", "200", "--length", "1s", "--warm-up", "0s"},
			func(r *report.Report) bool {
				return len(r.Steps) == 2 && r.Sent == 50 && r.Delivered == 400 && r.Complete.P50 > 0
			},
		},
		"reconnect": {
			[]string{"--users", "20", "--rate", "50", "--apart", "1s", "--spread", "200ms"},
			func(r *report.Report) bool {
				return r.Return.Returned == 20 && r.Return.Missed == 50 && r.Return.Synced.Max > 0
			},
		},
		"soak": {
			[]string{"--users", "20", "--rate", "50", "--acts", "20", "--losses", "2", "--length", "4s", "--window", "2s"},
			func(r *report.Report) bool {
				return len(r.Steps) == 2 && r.Sent == 200 && len(r.Acts) > 3 && r.Drift != nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait, mostly
			file := filepath.Join(t.TempDir(), "report.json")
			r := hikyaku(t.Context(), t, "", nil, append([]string{"bench", name, "--url", url, "--json", file}, c.args...)...)
			if r.code != exitOK {
				t.Fatalf("%+v", r)
			}
			if got := readReport(t, file); !c.ok(got) || !got.Passed() {
				t.Errorf("%s%+v", r.out, got)
			}
		})
	}
}

// measuredAll reports whether a suite measured everything: on a busy machine no
// rate may be within the limit.
func measuredAll(r result) bool {
	return r.code == exitOK || r.code == exitThreshold && strings.Contains(r.err, "no rate was sustained")
}

// The suite starts a system, measures it, writes down what it found, and leaves
// nothing behind.
func TestBenchSuite(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		out := filepath.Join(t.TempDir(), "new", "folder")
		r := hikyaku(t.Context(), t, "", nil, "bench", "suite", "--on", "embedded", "--out", out, "--users", "4", "--from", "100", "--to", "100", "--step", "1s",
			"--burst-length", "1s", "--connections", "50", "--hold", "1s", "--rest", "0s")
		if !measuredAll(r) {
			t.Fatalf("%+v", r)
		}
		for _, name := range []string{"latency", "burst", "connections"} {
			got := readReport(t, filepath.Join(out, name+".json"))
			if got.Scenario != name || got.Sent == 0 || !got.Passed() || got.Parameters["started"] != "embedded" {
				t.Errorf("%+v", got)
			}
		}
	})
	t.Run("ejabberd", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		r := hikyaku(t.Context(), t, "", nil, "bench", "suite", "--on", "ejabberd", "--scenarios", "latency", "--out", out,
			"--users", "4", "--from", "100", "--to", "100", "--step", "1s")
		if !measuredAll(r) {
			t.Fatalf("%+v", r)
		}
		if got := readReport(t, filepath.Join(out, "latency.json")); got.Target != "ejabberd" || !got.Passed() {
			t.Errorf("%+v", got)
		}
	})
}

// lines receives the address that a server prints.
type lines struct{ ready chan string }

func (l *lines) Write(p []byte) (int, error) {
	if _, url, ok := strings.Cut(strings.TrimSpace(string(p)), "is ready: open "); ok {
		l.ready <- url
	}
	return len(p), nil
}

package main

import (
	"context"
	"encoding/gob"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// setupToken makes the first account of the servers under test.
const setupToken = "the-operator-of-this-test"

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
			"serve", "--setup-token", setupToken, "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--hash-memory", "64", "--rate", "1000", "--burst", "1000", "--registrations", "1000",
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
	args := []string{"bench", "latency", "--url", url, "--setup-token", setupToken, "--users", "4", "--from", "50", "--to", "100", "--factor", "2", "--step", "1s", "--warm-up", "0s", "--max-p95", "1m"}
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
			r := hikyaku(t.Context(), t, "", nil, append([]string{"bench", name, "--url", url, "--setup-token", setupToken, "--json", file}, c.args...)...)
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
			"--burst-length", "1s", "--connections", "50", "--hold", "1s", "--rest", "0s", "--busy-loops", "1", "--set", "HIKYAKU_IN_FLIGHT=70")
		if !measuredAll(r) {
			t.Fatalf("%+v", r)
		}
		for _, name := range []string{"latency", "burst", "connections"} {
			got := readReport(t, filepath.Join(out, name+".json"))
			if got.Scenario != name || got.Sent == 0 || !got.Passed() || got.Parameters["started"] != "embedded" || got.Parameters["busy-loops"] != "1" || got.Parameters["set"] == "" {
				t.Errorf("%+v", got)
			}
			if s := got.Machine.Speed; s == nil || s.SyscallNS <= 0 || s.GoroutineNS <= 0 {
				t.Errorf("%s: the machine's speed is %+v", name, s)
			}
			if name == "latency" {
				checkCost(t, got, "hikyaku", map[string]string{"store": "hikyaku", "socket-read": "hikyaku", "socket-write": "hikyaku"})
			}
		}
		if !strings.Contains(r.out, "What a message cost at ") || !strings.Contains(r.out, "This machine before the run: ") {
			t.Error(r.out)
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
		got := readReport(t, filepath.Join(out, "latency.json"))
		if got.Target != "ejabberd" || !got.Passed() {
			t.Errorf("%+v", got)
		}
		checkCost(t, got, "ejabberd", nil)
		checkCost(t, got, "postgresql: backend", nil)
	})
}

// The file that hikyaku stack names has bench say what a message costs each of the
// cluster's processes.
func TestCostOnACluster(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out := &told{about: "bench latency --config ", rest: make(chan string, 1)}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"stack", "--port", "0", "--gateways", "1", "--apis", "1", "--workers", "1", "--set", "HIKYAKU_RATE=1000"}, nil,
			streams{in: strings.NewReader(""), out: out, err: os.Stderr})
	}()
	defer func() {
		stop()
		if code := <-ended; code != exitOK {
			t.Errorf("the stack ended with %d", code)
		}
	}()
	var config string
	select {
	case config = <-out.rest:
	case code := <-ended:
		ended <- code
		t.Fatalf("the stack ended with %d", code)
	case <-time.After(eventually.Timeout):
		t.Fatal("the stack does not start")
	}
	file := filepath.Join(t.TempDir(), "report.json")
	r := hikyaku(t.Context(), t, "", nil, "bench", "latency", "--config", config, "--json", file,
		"--users", "4", "--from", "100", "--to", "100", "--step", "1s", "--halvings", "0", "--max-p95", "1m")
	if r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	got := readReport(t, file)
	hops := map[string]string{"publish": "gateway", "store": "worker", "bus": "worker", "socket-read": "gateway", "socket-write": "gateway"}
	for _, name := range []string{"gateway", "worker", "nginx", "redis", "rabbitmq", "postgresql: backend", "postgresql: walsender", "postgresql-replica: walreceiver"} {
		checkCost(t, got, name, hops)
	}
	for _, name := range []string{"api", "push", "postgresql: walwriter", "postgresql: checkpointer"} { // they need not have done anything
		if !slices.ContainsFunc(got.Cost.Processes, func(p cost.Process) bool { return p.Name == name && p.Switches != nil }) {
			t.Errorf("there is no %s in %+v", name, got.Cost.Processes)
		}
	}
	// Each message is published once and stored once, whatever goes together.
	for _, h := range got.Cost.Hops {
		if each := h.Items * h.Batches; (h.Name == "publish" || h.Name == "store") && (each < 0.999 || each > 1.5) {
			t.Errorf("%s: %v messages for each", h.Label(), each)
		}
	}
	if !strings.Contains(r.out, "worker: messages in a batch that is stored") {
		t.Error(r.out)
	}
}

// checkCost checks that each step of a report says what a message cost a kind of
// process, and the tool, and how many went together at hops of kinds of processes.
func checkCost(t *testing.T, r *report.Report, kind string, hops map[string]string) {
	t.Helper()
	for _, s := range r.Steps {
		if s.Cost == nil || s.Cost.Messages != s.Accepted || s.Cost.Together.CPU <= 0 {
			t.Fatalf("%s: %+v, notes %q", s.Label, s.Cost, r.Notes)
		}
		for _, name := range []string{kind, cost.Tool} {
			i := slices.IndexFunc(s.Cost.Processes, func(p cost.Process) bool { return p.Name == name })
			if i < 0 {
				t.Errorf("%s: there is no %s in %+v", s.Label, name, s.Cost.Processes)
				continue
			}
			if p := s.Cost.Processes[i]; p.Switches == nil || p.Switches.All() <= 0 || p.System == nil {
				t.Errorf("%s: %+v", s.Label, p)
			}
		}
		for name, process := range hops {
			if !slices.ContainsFunc(s.Cost.Hops, func(h cost.Hop) bool { return h.Name == name && h.Process == process && h.Items >= 1 && h.Batches > 0 }) {
				t.Errorf("%s: there is no %s of %s in %+v", s.Label, name, process, s.Cost.Hops)
			}
		}
	}
}

// lines receives the address that a server prints.
type lines struct{ ready chan string }

func (l *lines) Write(p []byte) (int, error) {
	if _, url, ok := strings.Cut(strings.TrimSpace(string(p)), "is ready: open "); ok {
		url, _, _ = strings.Cut(url, "/register#")
		l.ready <- url
	}
	return len(p), nil
}

package probe

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
)

// As a kernel 6.1 wrote it: the command holds what separates fields elsewhere.
const statText = "1914 (a) S (b) 1) S 1743 1914 1914 0 -1 4194560 1038 12 0 0 250 75 31 9 20 0 1 0 2512345 229171200 3911 18446744073709551615 1 1 0\n"

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte(statText))
	want := stat{
		command: "a) S (b) 1", parent: 1743, start: 2512345, cpu: cost.Times{User: 2.5, System: 0.75}, ended: cost.Times{User: 0.31, System: 0.09},
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "1914", "1914 (postgres", ") 1 (", "1914 (postgres) S 1743 1914", strings.Replace(statText, " 250 ", " x ", 1)} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// As kernels write it, in the middle of other lines whose names end alike.
const statusText = "Name:\tvoluntary_ctxt_switches: 7\nThreads:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t1204\nnonvoluntary_ctxt_switches:\t33\n"

func TestParseThread(t *testing.T) {
	var got cost.Thread
	if err := parseSwitches([]byte(statusText), &got); err != nil {
		t.Error(err)
	}
	if err := parseSchedstat([]byte("81293847123 1500000000 4242\n"), &got); err != nil {
		t.Error(err)
	}
	if want := (cost.Thread{Voluntary: 1204, Involuntary: 33, Wait: 1.5}); got != want {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", "Name:\tx\n", "\nvoluntary_ctxt_switches:\t12\n", "\nvoluntary_ctxt_switches:\tx\nnonvoluntary_ctxt_switches:\t1\n"} {
		if err := parseSwitches([]byte(text), &got); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for _, text := range []string{"", "1 2", "1 x 3"} { // without CONFIG_SCHED_INFO there is no such file
		if err := parseSchedstat([]byte(text), &got); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	if n := machineCounter([]byte("cpu  1 2\nintr 9 9\nctxt 576034706\nbtime 1700000000\n"), "ctxt"); n != 576034706 {
		t.Error(n)
	}
	if n := machineCounter([]byte("cpu  1 2\n"), "ctxt"); n != 0 {
		t.Error(n)
	}
}

func TestKinds(t *testing.T) {
	for _, tt := range []struct{ command, cmdline, want string }{
		{"hikyaku", "/usr/bin/hikyaku\x00serve\x00--roles\x00gateway\x00--listen\x00127.0.0.1:1\x00", "gateway"},
		{"hikyaku", "hikyaku\x00serve\x00--roles=api,ui\x00", "api"},
		{"hikyaku", "hikyaku\x00serve\x00--roles\x00gateway,worker\x00", "hikyaku"},
		{"hikyaku", "hikyaku\x00serve\x00", "hikyaku"},
		{"beam.smp", "/usr/lib/erlang/erts/bin/beam.smp\x00-W\x00w\x00-s\x00rabbit\x00", "rabbitmq"},
		{"beam.smp", "/usr/lib/erlang/erts/bin/beam.smp\x00-s\x00ejabberd\x00", "ejabberd"},
		{"redis-server", "redis-server 127.0.0.1:6379\x00", "redis"},
		{"nginx", "nginx: worker process\x00", "nginx"},
		{"postgres", "/usr/lib/postgresql/15/bin/postgres\x00-D\x00/data\x00", "postgresql"},
		{"postgres", "postgres: walwriter \x00\x00\x00", "postgresql: walwriter"},
		{"postgres", "postgres: checkpointer performing end-of-recovery checkpoint\x00", "postgresql: checkpointer"},
		{"postgres", "postgres: main: walsender replicator 127.0.0.1(1234) streaming 0/3000148\x00", "postgresql: walsender"},
		{"postgres", "postgres: startup recovering 000000010000000000000003\x00", "postgresql: startup"},
		{"postgres", "postgres: hikyaku hikyaku 127.0.0.1(42468) INSERT\x00", "postgresql: backend"},
		{"postgres", "postgres: hikyaku hikyaku [local] idle in transaction\x00", "postgresql: backend"},
	} {
		if got := kind(tt.command, []byte(tt.cmdline)) + detail(tt.command, []byte(tt.cmdline)); got != tt.want {
			t.Errorf("%q is %q, not %q", tt.cmdline, got, tt.want)
		}
	}
}

// proc is a /proc of processes by their id: stat lines, titles, threads.
func proc(processes map[string]string, threads map[string][2]string) fstest.MapFS {
	files := fstest.MapFS{"stat": {Data: []byte("cpu  1\nctxt 9000\n")}, "self/stat": {Data: []byte("no process")}}
	for pid, fields := range processes { // command, parent, ticks, command line
		f := strings.Split(fields, "|")
		files[pid+"/stat"] = &fstest.MapFile{Data: []byte(pid + " (" + f[0] + ") S " + f[1] + " 0 0 0 0 0 0 0 0 0 " + f[2] + " 0 0 0 20 0 1 0 77 0 0 0\n")}
		files[pid+"/cmdline"] = &fstest.MapFile{Data: []byte(f[3])}
	}
	for name, text := range threads {
		pid, tid, _ := strings.Cut(name, "/")
		files[pid+"/task/"+tid+"/status"] = &fstest.MapFile{Data: []byte(text[0])}
		if text[1] != "" {
			files[pid+"/task/"+tid+"/schedstat"] = &fstest.MapFile{Data: []byte(text[1])}
		}
	}
	return files
}

// A process belongs to the nearest of the given ones above it: the tool starts
// the servers, and these their children. Others of the machine are left out, and
// what the tool has started that is not measured.
func TestTree(t *testing.T) {
	files := proc(map[string]string{
		"1":  "init|0|900|init\x00",
		"10": "hikyaku|1|10|hikyaku\x00bench\x00",
		"20": "postgres|10|20|/bin/postgres\x00-D\x00x\x00",
		"21": "postgres|20|21|postgres: walwriter \x00",
		"22": "postgres|20|22|postgres: a b 127.0.0.1(1) idle\x00",
		"23": "postgres|20|23|postgres: a b 127.0.0.1(2) idle\x00",
		"30": "redis-server|10|30|redis-server\x00",
		"40": "other|1|40|other\x00",
		"50": "hikyaku|10|50|hikyaku\x00bench\x00hand\x00",
		"60": "sh|10|60|/bin/sh\x00-c\x00busy\x00",
		"61": "sleep|60|61|sleep\x00",
	}, map[string][2]string{
		"10/10": {statusText, "1 2000000000 3\n"}, "10/11": {statusText, "1 1000000000 3\n"},
		"30/30": {"Name:\tx\n", ""},
	})
	var got cost.Sample
	if err := (procfs{files}).sample([]Process{{PID: 10, Name: cost.Tool}, {PID: 20, Name: "primary"}, {PID: 30}, {PID: 60, Unmeasured: true}}, &got); err != nil {
		t.Fatal(err)
	}
	names := map[int]string{}
	for _, p := range got.Processes {
		names[p.ID.PID] = p.Name
		if p.ID.PID == 10 && (len(p.Threads) != 2 || p.Threads[11] != cost.Thread{Voluntary: 1204, Involuntary: 33, Wait: 1} || p.Unknown != cost.Unknown{}) {
			t.Errorf("%+v", p)
		}
		if p.ID.PID == 30 && (p.Unknown != cost.Unknown{Switches: true, Wait: true} || p.Parent != cost.ID{PID: 10, Start: 77}) {
			t.Errorf("%+v", p)
		}
	}
	want := map[int]string{10: cost.Tool, 20: "primary", 21: "primary: walwriter", 22: "primary: backend", 23: "primary: backend", 30: "redis", 50: cost.Tool}
	if !maps.Equal(names, want) || got.Switches != 9000 {
		t.Errorf("%v, %v", names, got.Switches)
	}
}

const metricsText = `# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.5
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 2.097152e+06
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.79600354812e+09
# TYPE hikyaku_process_info gauge
hikyaku_process_info{pid="17",roles="gateway",version="1.0 \"x\", {beta}"} 1
# TYPE hikyaku_batches_total counter
hikyaku_batches_total{hop="publish"} 400
hikyaku_batches_total{hop="socket-write"} 900
# TYPE hikyaku_batch_items_total counter
hikyaku_batch_items_total{hop="publish"} 1200
hikyaku_batch_items_total{hop="socket-write"} 1800
`

func TestParseExport(t *testing.T) {
	const at = "http://10.0.0.7:9090/metrics"
	got, err := parseExport(strings.NewReader(metricsText), at)
	if err != nil {
		t.Fatal(err)
	}
	if got.name != "gateway" || got.usage.MemoryMiB != 2 || got.usage.CPU != 12.5 || got.pid != 17 || got.start != 1.79600354812e9 {
		t.Errorf("%+v", got)
	}
	slices.SortFunc(got.hops, func(a, b cost.HopSample) int { return strings.Compare(a.Name, b.Name) })
	want := []cost.HopSample{
		{Source: at, Process: "gateway", Name: "publish", Batches: 400, Items: 1200},
		{Source: at, Process: "gateway", Name: "socket-write", Batches: 900, Items: 1800},
	}
	if diff := cmp.Diff(want, got.hops); diff != "" {
		t.Error(diff)
	}
	// It is on another machine, whatever process has that id here.
	if pid, here := got.onThisMachine(); here {
		t.Error(pid)
	}
	for _, text := range []string{"", "up 1\n", "process_cpu_seconds_total x\n", "<html>"} {
		if got, err := parseExport(strings.NewReader(text), at); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

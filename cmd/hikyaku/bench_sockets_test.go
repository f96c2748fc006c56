package main

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestPlanSockets(t *testing.T) {
	const gib = 1 << 30
	for name, tt := range map[string]struct {
		asked, each        int
		limits             socketLimits
		sockets, processes int
		why                string
	}{
		"a million":                {1_000_000, 0, socketLimits{20_000, 2_466_165, 23 * gib}, 1_000_000, 55, ""},
		"little memory":            {1_000_000, 0, socketLimits{20_000, 2_466_165, 7 * gib}, 257_070, 14, "of memory are available"},
		"little more than servers": {1_000_000, 0, socketLimits{20_000, 2_466_165, 2 * gib}, 2, 1, "of memory are available"},
		"many files":               {1_000_000, 0, socketLimits{files: 1 << 30}, 1_000_000, 55, ""},
		"few files":                {1_000_000, 0, socketLimits{files: 1024}, 64 * 947, 64, "64 processes"},
		"few files of the machine": {100_000, 0, socketLimits{files: 20_000, machineFiles: 100_000}, 40_000, 3, "fs.file-max"},
		"nothing is known":         {100_000, 0, socketLimits{}, 100_000, 6, ""},
		"as many as asked for":     {300, 100, socketLimits{20_000, 2_466_165, 23 * gib}, 300, 3, ""},
	} {
		p := planSockets(tt.asked, tt.each, tt.limits)
		if p.sockets != tt.sockets || p.processes != tt.processes {
			t.Errorf("%s: %+v", name, p)
		}
		if note := p.note(tt.asked); (note == "") != (tt.why == "") || !strings.Contains(note, tt.why) {
			t.Errorf("%s: %q", name, note)
		}
	}
}

// Whatever the machine has, a plan stays within it, and only then there are fewer
// sockets than were asked for.
func TestPlanSocketsStaysWithinLimits(t *testing.T) {
	for range 10_000 {
		asked := 2 + rand.IntN(2_000_000)
		l := socketLimits{files: 64 + rand.Uint64N(100_000), machineFiles: 30_000 + rand.Uint64N(3_000_000), memory: 3<<30 + rand.Int64N(40<<30)}
		p := planSockets(asked, 0, l)
		each := (p.sockets + p.processes - 1) / p.processes
		if p.sockets < 2 || p.sockets > asked || (p.sockets < asked) != (p.fewer != "") {
			t.Fatalf("%d asked for, %+v: %+v", asked, l, p)
		}
		if p.processes > maxSocketProcesses || each > maxSocketsEach || uint64(each) >= l.files || 2*uint64(p.sockets) > l.machineFiles {
			t.Fatalf("%d asked for, %+v: %+v, %d each", asked, l, p, each)
		}
		if socketMemory(p.sockets, each) > l.memory {
			t.Fatalf("%d asked for, %+v: %+v takes %d", asked, l, p, socketMemory(p.sockets, each))
		}
		if full := int(min(l.files*37/40, maxSocketsEach)); strings.Contains(p.fewer, "memory") && socketMemory(p.sockets+1, full) <= l.memory {
			t.Fatalf("%d asked for, %+v: %+v, and one more fits", asked, l, p)
		}
	}
}

// Many gateways and many processes of the load tool, a few sockets at each.
func TestBenchSockets(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	out := t.TempDir()
	r := hikyaku(t.Context(), t, "", nil, "bench", "suite", "--scenarios", "sockets", "--sockets", "300", "--sockets-each", "75", "--hold", "2s", "--heartbeat", "30s", "--out", out)
	if r.code != exitOK || !strings.Contains(r.err, "gateways: 4; processes of the load tool: 4") {
		t.Fatalf("%+v", r)
	}
	got := readReport(t, filepath.Join(out, "sockets.json"))
	c := got.Connections
	if c == nil || c.Succeeded != 300 || c.Ended != 0 || got.Sent != 1000 || !got.Passed() || got.Latency.P95 <= 0 {
		t.Fatalf("%+v", got)
	}
	if got.Scenario != "connections" || got.Parameters["gateways"] != "4" || got.Parameters["processes"] != "4" || got.Parameters["heartbeat"] != "30s" {
		t.Errorf("%q %v", got.Scenario, got.Parameters)
	}
	// The memory of so few sockets of the tool may be what it had before.
	if c.ServerMiB <= 0 || c.HeldCPU <= 0 || c.HeldToolCPU <= 0 {
		t.Errorf("%+v", c)
	}
}

func TestBenchSocketsRefuses(t *testing.T) {
	for flags, says := range map[string]string{
		"--on embedded": "--scenarios: ", "--scenarios sockets,latency": "--scenarios: ", "--sockets 1": "--sockets: ",
		"--sockets-each=-1": "--sockets-each: ", "--per-second=-1": "--per-second: ", "--heartbeat 1s": "--heartbeat: ",
	} {
		args := append([]string{"bench", "suite", "--scenarios", "sockets", "--out", t.TempDir()}, strings.Fields(flags)...)
		if r := hikyaku(t.Context(), t, "", nil, args...); r.code != exitError || !strings.Contains(r.err, says) {
			t.Errorf("%s: %+v", flags, r)
		}
	}
}

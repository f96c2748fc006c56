package probe_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/probe"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

// exporter serves the metrics of this process.
func exporter(t *testing.T, more ...prometheus.Collector) probe.Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(more...)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(server.Close)
	return probe.Metrics(server.URL)
}

// info says which process this is.
func info(pid int) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "hikyaku_process_info", ConstLabels: prometheus.Labels{"roles": "api,ui", "pid": fmt.Sprint(pid), "version": "1"},
	})
	g.Set(1)
	return g
}

// Both ways must see the same of this process: what it holds, and that it works.
func TestThisProcess(t *testing.T) {
	process := probe.Process{PID: os.Getpid()}
	metrics := probe.Server{Metrics: []probe.Metrics{exporter(t)}}
	debug.FreeOSMemory() // what another run has left
	before, err := probe.Server{Processes: []probe.Process{process}, Metrics: metrics.Metrics}.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := make([]byte, 64<<20)
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		for i := range held {
			held[i]++
		}
	}
	one, err := process.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := metrics.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(one.MemoryMiB - other.MemoryMiB); d > one.MemoryMiB/5 {
		t.Errorf("%v MiB and %v", one.MemoryMiB, other.MemoryMiB)
	}
	// With the race detector it is several times as much.
	if grown := one.MemoryMiB - before.MemoryMiB/2; grown < 50 {
		t.Errorf("it grew by %v MiB", grown)
	}
	if worked := one.CPU + other.CPU - before.CPU; worked <= 0 {
		t.Errorf("it worked for %v s", worked)
	}
	_ = held[0]
}

// A process that is given by its id and by its metrics counts once. One whose
// metrics are of another machine, where the id is another process's, does not
// count as this one's.
func TestSameProcess(t *testing.T) {
	process := probe.Process{PID: os.Getpid()}
	for _, tt := range []struct {
		pid  int
		want float64 // times this process
	}{{os.Getpid(), 1}, {1, 2}} {
		s := probe.Server{Processes: []probe.Process{process}, Metrics: []probe.Metrics{exporter(t, info(tt.pid))}}
		alone, err := process.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		both, err := s.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if times := both.MemoryMiB / alone.MemoryMiB; math.Abs(times-tt.want) > 0.5 {
			t.Errorf("process %d: %v times the memory of one", tt.pid, times)
		}
	}
}

// Who samples again and again asks a process of this machine for its metrics once,
// and one that may be elsewhere each time.
func TestSamplerAsksOnce(t *testing.T) {
	var here, elsewhere atomic.Int32 // how often it was asked
	served := func(asked *atomic.Int32, pid int) probe.Metrics {
		registry := prometheus.NewRegistry()
		registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info(pid))
		handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			handler.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		return probe.Metrics(server.URL)
	}
	s := probe.Sampler{Server: probe.Server{Metrics: []probe.Metrics{served(&here, os.Getpid()), served(&elsewhere, 1)}}}
	for range 3 {
		u, err := s.Sample(t.Context())
		if err != nil || u.MemoryMiB == 0 || u.CPU == 0 {
			t.Errorf("%+v, %v", u, err)
		}
	}
	if here.Load() != 1 || elsewhere.Load() != 3 {
		t.Errorf("a process of this machine was asked %d times, another one %d times", here.Load(), elsewhere.Load())
	}
}

func TestProcessAsText(t *testing.T) {
	for text, want := range map[string]probe.Process{"12": {PID: 12}, "gateway=3": {PID: 3, Name: "gateway"}} {
		var p probe.Process
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want || p.String() != text {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "x", "=3", "gateway=", "gateway"} {
		var p probe.Process
		if err := p.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "gateway=1234") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestMain is a server where the test starts it as one: it answers each line, and
// then ends.
func TestMain(m *testing.M) {
	if os.Getenv("PROBED_SERVER") != "" {
		_, _ = io.Copy(os.Stdout, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

// A real process that is waked a thousand times has a thousand context switches,
// and the batches that it tells of are counted from the start of the measurement.
func TestCosts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(eventually.Context(t), self)
	server.Env = append(os.Environ(), "PROBED_SERVER=1")
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = in.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		_ = server.Wait()
	}()
	ask := func() {
		if _, err := in.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	labels := prometheus.Labels{"hop": "store"}
	batches := prometheus.NewCounter(prometheus.CounterOpts{Name: "hikyaku_batches_total", ConstLabels: labels})
	items := prometheus.NewCounter(prometheus.CounterOpts{Name: "hikyaku_batch_items_total", ConstLabels: labels})
	batches.Add(1000)
	items.Add(1000)
	s := probe.Server{
		Processes: []probe.Process{{PID: server.Process.Pid, Name: "server"}},
		Metrics:   []probe.Metrics{exporter(t, batches, items, info(os.Getpid()))},
	}
	stop, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		ask()
	}
	batches.Add(10)
	items.Add(500)
	c, err := stop(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	of := func(name string) cost.Process {
		i := slices.IndexFunc(c.Processes, func(p cost.Process) bool { return p.Name == name })
		if i < 0 {
			t.Fatalf("there is no %s in %+v", name, c)
		}
		return c.Processes[i]
	}
	// It can be ready before it has slept, but not often with one byte at a time.
	if p := of("server"); p.Count != 1 || p.Switches == nil || p.Switches.All() < 0.2 || p.WaitMS == nil || p.System == nil {
		t.Errorf("%+v", p)
	}
	// This process is the tool's, whatever its metrics are called.
	if p := of(cost.Tool); p.Count != 1 || p.Switches == nil || p.Switches.All() < 0.2 {
		t.Errorf("%+v", p)
	}
	if c.MachineSwitches < of("server").Switches.All() || c.Seconds <= 0 || c.Together.Count != 2 {
		t.Errorf("%+v", c)
	}
	if want := (cost.Hop{Process: "api", Name: "store", Batches: 0.01, Items: 50}); !slices.Equal(c.Hops, []cost.Hop{want}) {
		t.Errorf("%+v", c.Hops)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			_, _ = w.Write([]byte("up 1\n"))
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	metrics := func(url string) probe.Server { return probe.Server{Metrics: []probe.Metrics{probe.Metrics(url)}} }
	for name, p := range map[string]interface {
		Sample(ctx context.Context) (scenario.Usage, error)
		Start(ctx context.Context) (func(context.Context, int64) (*cost.Cost, error), error)
	}{
		"a page that is not there": metrics(server.URL + "/metrics"),
		"other metrics":            metrics(server.URL + "/other"),
		"no server":                metrics("http://127.0.0.1:1/metrics"),
		"no process":               probe.Server{Processes: []probe.Process{{PID: 1 << 30}}},
	} {
		if u, err := p.Sample(t.Context()); err == nil {
			t.Errorf("%s: %+v", name, u)
		}
		if _, err := p.Start(t.Context()); err == nil {
			t.Errorf("%s: its cost is measured", name)
		}
	}
}

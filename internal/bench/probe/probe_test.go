package probe_test

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hikyaku-chat/hikyaku/internal/bench/probe"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
)

// Both ways must see the same of this process: what it holds, and that it works.
func TestThisProcess(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	process, metrics := probe.Process(os.Getpid()), probe.Metrics(server.URL)
	debug.FreeOSMemory() // what another run has left
	before, err := probe.All{process, metrics}.Sample(t.Context())
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

func TestWhatIsNotThere(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			_, _ = w.Write([]byte("up 1\n"))
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	for name, p := range map[string]interface {
		Sample(ctx context.Context) (scenario.Usage, error)
	}{
		"a page that is not there": probe.Metrics(server.URL + "/metrics"),
		"other metrics":            probe.Metrics(server.URL + "/other"),
		"no server":                probe.Metrics("http://127.0.0.1:1/metrics"),
		"no process":               probe.Process(1 << 30),
	} {
		if u, err := p.Sample(t.Context()); err == nil {
			t.Errorf("%s: %+v", name, u)
		}
	}
}

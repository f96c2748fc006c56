package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
)

// Metrics is the address of a process's metrics for Prometheus, such as
// http://127.0.0.1:9090/metrics.
type Metrics string

var client = http.Client{Timeout: 5 * time.Second}

// export is what a process says of itself.
type export struct {
	address string
	name    string // of its kind
	usage   scenario.Usage
	hops    []cost.HopSample
	pid     int     // 0 if it does not say so
	start   float64 // seconds since 1970
}

// read asks for the metrics.
func (m Metrics) read(ctx context.Context) (*export, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, string(m), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("--server-metrics: %w", err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("--server-metrics: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("--server-metrics: %s answers %s", m, answer.Status)
	}
	e, err := parseExport(answer.Body, string(m))
	if err != nil {
		return nil, fmt.Errorf("--server-metrics: %s: %w", m, err)
	}
	return e, nil
}

// parseExport reads the process metrics that every Prometheus client library
// exports, and Hikyaku's own, in the text format.
func parseExport(from io.Reader, address string) (*export, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(from)
	if err != nil {
		return nil, err
	}
	each := func(name string, f func(labels map[string]string, v float64)) bool {
		metrics := families[name].GetMetric()
		for _, m := range metrics {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			f(labels, m.GetGauge().GetValue()+m.GetCounter().GetValue()+m.GetUntyped().GetValue()) // it has one of them
		}
		return len(metrics) > 0
	}
	e := &export{address: address, name: address}
	if u, err := url.Parse(address); err == nil {
		e.name = u.Host
	}
	memory := each("process_resident_memory_bytes", func(_ map[string]string, v float64) { e.usage.MemoryMiB = v / mib })
	cpu := each("process_cpu_seconds_total", func(_ map[string]string, v float64) { e.usage.CPU = v })
	if !memory || !cpu {
		return nil, errors.New("it tells nothing of its process (process_resident_memory_bytes, process_cpu_seconds_total)")
	}
	each("process_start_time_seconds", func(_ map[string]string, v float64) { e.start = v })
	each("hikyaku_process_info", func(labels map[string]string, _ float64) {
		e.name = kindOfRoles(labels["roles"])
		e.pid, _ = strconv.Atoi(labels["pid"])
	})
	batches := map[string]float64{}
	each("hikyaku_batches_total", func(labels map[string]string, v float64) { batches[labels["hop"]] = v })
	each("hikyaku_batch_items_total", func(labels map[string]string, v float64) {
		hop := labels["hop"]
		e.hops = append(e.hops, cost.HopSample{Source: address, Process: e.name, Name: hop, Batches: batches[hop], Items: v})
	})
	return e, nil
}

// kindOfRoles names a process of Hikyaku by its roles.
func kindOfRoles(roles string) string {
	roles = strings.TrimSuffix(roles, ",ui")
	if roles == "" || strings.Contains(roles, ",") {
		return "hikyaku"
	}
	return roles
}

// onThisMachine returns the process's id, if it is a process of this machine. It
// may be one in a container whose port leads there, where the id means another
// process or none.
func (e *export) onThisMachine() (pid int, is bool) {
	u, err := url.Parse(e.address)
	if err != nil || e.pid == 0 || e.start == 0 {
		return 0, false
	}
	host, err := netip.ParseAddr(u.Hostname())
	if (err != nil || !host.IsLoopback()) && u.Hostname() != "localhost" {
		return 0, false
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(e.pid) + "/stat")
	if err != nil {
		return 0, false
	}
	s, err := parseStat(text)
	if err != nil {
		return 0, false
	}
	boot, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	since := machineCounter(boot, "btime")
	return e.pid, since > 0 && math.Abs(since+float64(s.start)/ticksPerSecond-e.start) < 2
}

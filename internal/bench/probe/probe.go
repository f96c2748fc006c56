// Package probe samples the processes of the server under load: their resident
// memory and processor time.
package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

const mib = 1 << 20

// All samples several probes and adds up the results.
type All []scenario.Probe

// Sample implements [scenario.Probe].
func (a All) Sample(ctx context.Context) (sum scenario.Usage, err error) {
	found := make([]scenario.Usage, len(a))
	var looking errgroup.Group
	for i, p := range a {
		looking.Go(func() (err error) {
			found[i], err = p.Sample(ctx)
			return err
		})
	}
	if err := looking.Wait(); err != nil {
		return sum, err
	}
	for _, u := range found {
		sum.MemoryMiB += u.MemoryMiB
		sum.CPU += u.CPU
	}
	return sum, nil
}

// Process is the id of a process on this machine. It needs Linux.
type Process int

// Validate returns an error for what is no id of a process.
func (p Process) Validate() error {
	return setting.Between("server-pid", int(p), 1, math.MaxInt32, "the id of a process on this machine")
}

// Sample implements [scenario.Probe].
func (p Process) Sample(context.Context) (scenario.Usage, error) {
	u, err := p.sample()
	if err != nil {
		return u, fmt.Errorf("--server-pid: process %d cannot be looked at: %w", int(p), err)
	}
	return u, nil
}

// ticksPerSecond is the unit of time in /proc (USER_HZ, 100 on every platform
// that Go supports).
const ticksPerSecond = 100

func (p Process) sample() (u scenario.Usage, err error) {
	memory, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", int(p)))
	if err != nil {
		return u, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", int(p)))
	if err != nil {
		return u, err
	}
	sizes := strings.Fields(string(memory))
	// The name in the parentheses may hold anything; the fields are counted
	// from behind it (proc(5)).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(sizes) < 2 || len(fields) < 13 {
		return u, errors.New("/proc says something else than it should")
	}
	pages, err := strconv.ParseFloat(sizes[1], 64)
	if err != nil {
		return u, err
	}
	u.MemoryMiB = pages * float64(os.Getpagesize()) / mib
	for _, field := range fields[11:13] { // utime, stime
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return u, err
		}
		u.CPU += ticks / ticksPerSecond
	}
	return u, nil
}

// Metrics is the address of a process's metrics for Prometheus, such as
// http://127.0.0.1:9090/metrics.
type Metrics string

var client = http.Client{Timeout: 5 * time.Second}

// Sample implements [scenario.Probe].
func (m Metrics) Sample(ctx context.Context) (u scenario.Usage, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, string(m), http.NoBody)
	if err != nil {
		return u, fmt.Errorf("--server-metrics: %w", err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return u, fmt.Errorf("--server-metrics: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return u, fmt.Errorf("--server-metrics: %s answers %s", m, answer.Status)
	}
	found, err := parseMetrics(answer.Body)
	if err != nil {
		return u, fmt.Errorf("--server-metrics: %s: %w", m, err)
	}
	return found, nil
}

// parseMetrics reads the process metrics that every Prometheus client library
// exports, in the text format.
func parseMetrics(from io.Reader) (u scenario.Usage, err error) {
	var memory, cpu bool
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, mib)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "process_resident_memory_bytes":
			u.MemoryMiB, err = strconv.ParseFloat(value, 64)
			u.MemoryMiB /= mib
			memory = true
		case "process_cpu_seconds_total":
			u.CPU, err = strconv.ParseFloat(value, 64)
			cpu = true
		}
		if err != nil {
			return u, err
		}
	}
	if err := lines.Err(); err != nil {
		return u, err
	}
	if !memory || !cpu {
		return u, errors.New("it tells nothing of its process (process_resident_memory_bytes, process_cpu_seconds_total)")
	}
	return u, nil
}

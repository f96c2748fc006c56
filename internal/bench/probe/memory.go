package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
)

// Tool samples the load tool's own processes: this one and its descendants, but for
// a server's that it has started. It needs Linux.
type Tool struct{ Server Server }

// Sample implements [scenario.Probe].
func (t Tool) Sample(ctx context.Context) (sum scenario.Usage, err error) {
	var now cost.Sample
	if err := sampleProcesses(append([]Process{{PID: os.Getpid(), Name: cost.Tool}}, t.Server.Processes...), &now); err != nil {
		return sum, err
	}
	for i := range now.Processes {
		if p := &now.Processes[i]; p.Name == cost.Tool {
			u, err := Process{PID: p.ID.PID}.Sample(ctx)
			if err != nil {
				return scenario.Usage{}, err
			}
			sum.MemoryMiB += u.MemoryMiB
			sum.CPU += u.CPU
		}
	}
	return sum, nil
}

// Machine samples the memory of the whole machine that is in use: of all processes
// and of the kernel, but for the contents of files. It needs Linux.
type Machine struct{}

// Sample implements [scenario.Probe].
func (Machine) Sample(context.Context) (scenario.Usage, error) {
	m, err := ReadMemory()
	return scenario.Usage{MemoryMiB: float64(m.Used) / mib}, err
}

// Memory is that of the machine, in bytes.
type Memory struct {
	Used      int64 // what is neither free nor the contents of files
	Available int64 // what programs may still take, as the kernel estimates it
}

// ReadMemory reads it from the kernel. It needs Linux.
func ReadMemory() (Memory, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Memory{}, fmt.Errorf("look at the machine's memory: %w", err)
	}
	m, err := parseMeminfo(string(text))
	if err != nil {
		return Memory{}, fmt.Errorf("look at the machine's memory: %w", err)
	}
	return m, nil
}

// parseMeminfo reads /proc/meminfo (proc(5)).
func parseMeminfo(text string) (m Memory, err error) {
	kib := map[string]int64{}
	for _, name := range []string{"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Shmem"} {
		_, rest, found := strings.Cut("\n"+text, "\n"+name+":")
		line, _, _ := strings.Cut(rest, "\n")
		kib[name], err = strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, " kB")), 10, 64)
		if !found || err != nil {
			return m, errors.Join(errProc, err)
		}
	}
	// What processes share without a file counts as cached, and is in use.
	m.Used = (kib["MemTotal"] - kib["MemFree"] - kib["Buffers"] - kib["Cached"] + kib["Shmem"]) * 1024
	m.Available = kib["MemAvailable"] * 1024
	return m, nil
}

// Package probe samples the processes of the server under load: their resident
// memory, and what a message costs them.
package probe

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

const mib = 1 << 20

// Process is a process on this machine. It needs Linux.
type Process struct {
	PID  int
	Name string // of its kind; empty for what its command line says
	// Unmeasured says that it is neither the server's nor the tool's, though the tool has
	// started it: it is left out, with its descendants.
	Unmeasured bool
}

// UnmarshalText reads a process as a setting gives it: PID or NAME=PID.
func (p *Process) UnmarshalText(text []byte) error {
	name, pid, named := strings.Cut(string(text), "=")
	if !named {
		name, pid = "", name
	}
	n, err := strconv.Atoi(pid)
	if err != nil || named && name == "" {
		return fmt.Errorf("%q is no process; give its id, such as 1234, or a name and the id, such as gateway=1234", text)
	}
	p.PID, p.Name = n, name
	return nil
}

// String returns the process as UnmarshalText reads it.
func (p Process) String() string {
	if p.Name == "" {
		return strconv.Itoa(p.PID)
	}
	return p.Name + "=" + strconv.Itoa(p.PID)
}

// Validate returns an error for what is no id of a process.
func (p Process) Validate() error {
	return setting.Between("server-pid", p.PID, 1, math.MaxInt32, "the id of a process on this machine")
}

// Sample implements [scenario.Probe]. Children are not in it.
func (p Process) Sample(context.Context) (u scenario.Usage, err error) {
	fail := func(err error) (scenario.Usage, error) {
		return u, fmt.Errorf("--server-pid: process %d cannot be looked at: %w", p.PID, err)
	}
	memory, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID))
	if err != nil {
		return fail(err)
	}
	pages, err := parseStatm(memory)
	if err != nil {
		return fail(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return fail(err)
	}
	s, err := parseStat(text)
	if err != nil {
		return fail(err)
	}
	return scenario.Usage{MemoryMiB: pages * float64(os.Getpagesize()) / mib, CPU: s.cpu.User + s.cpu.System}, nil
}

// Server is the processes of a server, as far as they can be looked at. It is not
// changed after its first use.
type Server struct {
	Processes []Process // on this machine
	Metrics   []Metrics // of processes of it, wherever they are, these ones included
}

// Sample implements [scenario.Probe]. A process that is given both ways counts
// once; children of processes do not count.
func (s Server) Sample(ctx context.Context) (sum scenario.Usage, err error) {
	sum, _, err = s.sample(ctx)
	return sum, err
}

// sample also returns those of s.Metrics that are of processes on this machine.
func (s Server) sample(ctx context.Context) (sum scenario.Usage, here map[Metrics]int, err error) {
	found := make([]scenario.Usage, len(s.Processes)+len(s.Metrics))
	pids := make([]int, len(s.Metrics)) // 0 for elsewhere
	var looking errgroup.Group
	for i, p := range s.Processes {
		if p.Unmeasured {
			continue
		}
		looking.Go(func() (err error) {
			found[i], err = p.Sample(ctx)
			return err
		})
	}
	for i, m := range s.Metrics {
		looking.Go(func() error {
			e, err := m.read(ctx)
			if err != nil {
				return err
			}
			pid, is := e.onThisMachine()
			if is {
				pids[i] = pid
			}
			if !is || !s.has(pid) {
				found[len(s.Processes)+i] = e.usage
			}
			return nil
		})
	}
	if err := looking.Wait(); err != nil {
		return sum, nil, err
	}
	for _, u := range found {
		sum.MemoryMiB += u.MemoryMiB
		sum.CPU += u.CPU
	}
	here = map[Metrics]int{}
	for i, pid := range pids {
		if pid != 0 {
			here[s.Metrics[i]] = pid
		}
	}
	return sum, here, nil
}

// Sampler samples a server again and again. Processes on this machine are asked for
// their metrics once: to answer is more work than what an idle process has in a second
// otherwise. Its zero value, with the server, is ready to use. It is safe for
// concurrent use.
type Sampler struct {
	Server Server

	mu   sync.Mutex
	here map[Metrics]int // ids of processes on this machine, as the last answers told; nil before
}

// Sample implements [scenario.Probe] as [Server.Sample] does. When a process is gone
// that was known, all are asked anew.
func (s *Sampler) Sample(ctx context.Context) (scenario.Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.here != nil {
		known := Server{Processes: slices.Clone(s.Server.Processes)}
		for _, m := range s.Server.Metrics {
			pid, here := s.here[m]
			switch {
			case !here:
				known.Metrics = append(known.Metrics, m)
			case !known.has(pid):
				known.Processes = append(known.Processes, Process{PID: pid})
			}
		}
		if sum, err := known.Sample(ctx); err == nil {
			return sum, nil
		}
	}
	sum, here, err := s.Server.sample(ctx)
	s.here = here
	return sum, err
}

func (s Server) has(pid int) bool {
	for _, p := range s.Processes {
		if p.PID == pid {
			return true
		}
	}
	return false
}

// sampleExports adds what the processes' metrics say to a sample. It returns the
// processes among them that are on this machine and not in s.Processes.
func (s Server) sampleExports(ctx context.Context, to *cost.Sample) (here []Process, err error) {
	found := make([]*export, len(s.Metrics))
	var looking errgroup.Group
	for i, m := range s.Metrics {
		looking.Go(func() (err error) {
			found[i], err = m.read(ctx)
			return err
		})
	}
	if err := looking.Wait(); err != nil {
		return nil, err
	}
	for _, e := range found {
		to.Hops = append(to.Hops, e.hops...)
		if pid, is := e.onThisMachine(); is {
			if !s.has(pid) {
				here = append(here, Process{PID: pid, Name: e.name})
			}
			continue
		}
		to.Processes = append(to.Processes, cost.ProcessSample{
			ID: cost.ID{Address: e.address}, Name: e.name, CPU: cost.Times{User: e.usage.CPU},
			Unknown: cost.Unknown{System: true, Switches: true, Wait: true},
		})
	}
	return here, nil
}

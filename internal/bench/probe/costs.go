package probe

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
)

// The processes are looked at while their cost is measured, since what a thread did is
// lost when it ends: after 2 s first, when threads come and go, and then after twice as
// long each time, up to 16 s. Looking at 60 processes with 200 threads costs 10 ms of a
// processor: every two seconds that would be an eighth of what 1,000 quiet sockets cost
// altogether.
const (
	firstInterval = 2 * time.Second
	maxInterval   = 16 * time.Second
)

// Start implements [scenario.CostMeter]: it begins to measure what the server's
// processes and the tool's own use, with all of their descendants. stop ends that,
// and must be called once. A process that is not there is an error at the start,
// and may end later.
func (s Server) Start(ctx context.Context) (stop func(ctx context.Context, messages int64) (*cost.Cost, error), err error) {
	roots := append([]Process{{PID: os.Getpid(), Name: cost.Tool}}, s.Processes...)
	first, here, err := s.sampleAll(ctx, roots)
	if err != nil {
		return nil, err
	}
	if err := s.check(first); err != nil {
		return nil, err
	}
	roots = append(roots, here...)
	account := cost.New(first)
	ending := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for interval := firstInterval; ; interval = min(2*interval, maxInterval) {
			select {
			case <-ending:
				return
			case <-time.After(interval):
			}
			var next cost.Sample
			if err := sampleProcesses(roots, &next); err == nil {
				account.Add(next)
			}
		}
	})
	return func(ctx context.Context, messages int64) (*cost.Cost, error) {
		close(ending)
		looking.Wait()
		last, _, err := s.sampleAll(ctx, roots)
		if err != nil {
			return nil, err
		}
		account.Add(last)
		return account.Cost(messages), nil
	}, nil
}

// check returns an error for a process that is not there.
func (s Server) check(first cost.Sample) error {
	for _, p := range s.Processes {
		if !p.Unmeasured && !slices.ContainsFunc(first.Processes, func(f cost.ProcessSample) bool { return f.ID.PID == p.PID }) {
			return fmt.Errorf("--server-pid: there is no process %s", p)
		}
	}
	return nil
}

// sampleAll looks at the processes and asks for their metrics. It returns the
// processes on this machine that only have metrics, which are in the sample.
func (s Server) sampleAll(ctx context.Context, roots []Process) (now cost.Sample, here []Process, err error) {
	if here, err = s.sampleExports(ctx, &now); err != nil {
		return now, nil, err
	}
	return now, here, sampleProcesses(append(slices.Clone(roots), here...), &now)
}

// sampleProcesses adds processes of this machine to a sample.
func sampleProcesses(roots []Process, to *cost.Sample) error {
	to.At = time.Now()
	if hasProcfs {
		if err := (procfs{os.DirFS("/proc")}).sample(roots, to); err != nil {
			return fmt.Errorf("look at the server's processes: %w", err)
		}
	}
	return addSelf(to)
}

// addSelf adds what the kernel tells of this process alone: the context switches
// of its ended threads too.
func addSelf(to *cost.Sample) error {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return fmt.Errorf("look at the tool's own process: %w", err)
	}
	switches := cost.Thread{Voluntary: float64(used.Nvcsw), Involuntary: float64(used.Nivcsw)}
	for i := range to.Processes {
		p := &to.Processes[i]
		if p.ID.PID != os.Getpid() {
			continue
		}
		for id, t := range p.Threads {
			p.Threads[id] = cost.Thread{Wait: t.Wait}
		}
		p.Threads[0] = switches
		return nil
	}
	to.Processes = append(to.Processes, cost.ProcessSample{
		ID: cost.ID{PID: os.Getpid()}, Name: cost.Tool, Threads: map[int]cost.Thread{0: switches}, Unknown: cost.Unknown{Wait: true},
		CPU: cost.Times{User: seconds(used.Utime), System: seconds(used.Stime)},
	})
	return nil
}

func seconds(t unix.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

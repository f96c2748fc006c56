// Package scenario is what the load tool does with a chat system. Each scenario
// prepares virtual users, runs phases with them, and checks every message at
// the end.
package scenario

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// VirtualUsers are the users of a run: those of package load, or of several
// processes (package distributed).
type VirtualUsers interface {
	Connect(ctx context.Context, o load.ConnectOptions) (*load.ConnectResult, error)
	RunPhase(ctx context.Context, s load.Phase) (*load.Result, error)
	// Ended returns how many connections ended unexpectedly.
	Ended() int64
	// Check checks every message; nothing may be sent any more.
	Check(ctx context.Context) (*audit.Verdict, error)
	// Version returns the version that the system reports once a user is
	// connected.
	Version() string
	Close()
}

// Run is one run of a scenario: its target, and where results go.
type Run struct {
	Name     string // in the names of everything that is made for it: lower-case letters and digits
	BodySize int    // bytes of each text
	Target   target.Target
	Report   *report.Report
	// Prepare creates the virtual users; nil creates them in this process.
	Prepare func(ctx context.Context, plan target.Plan, o load.Options) (VirtualUsers, error)
	// Observer receives the progress; may be nil.
	Observer Observer
	// Probe samples the server's processes; nil where that is not possible.
	Probe Probe
	// ToolProbe and MachineProbe sample the tool's processes and the whole
	// machine; nil where that is not possible.
	ToolProbe, MachineProbe Probe
	// CostMeter measures what messages cost; nil measures nothing.
	CostMeter CostMeter

	start time.Time // of the series
	usage atomic.Pointer[usageSample]
}

// usageSample is a usage and when it was sampled.
type usageSample struct {
	Usage
	at time.Time
}

// Observer receives the progress of a run, from one goroutine at a time.
type Observer interface {
	// Phase is called when a phase begins, with how long it takes; 0 if
	// unknown.
	Phase(what string, length time.Duration)
	// Second is called each second with what happened in it.
	Second(s load.Second)
}

// Probe samples the resource usage of a server.
type Probe interface {
	Sample(ctx context.Context) (Usage, error)
}

// CostMeter measures what all processes use, of the server and of the tool.
type CostMeter interface {
	// Start begins to measure. stop ends that, and returns what each of a number
	// of messages cost; it is called once.
	Start(ctx context.Context) (stop func(ctx context.Context, messages int64) (*cost.Cost, error), err error)
}

// Usage is what all processes of a server use together.
type Usage struct {
	MemoryMiB float64 // resident
	CPU       float64 // seconds of processors' time so far
}

// prepare creates the users of a plan, and starts the clock of the run.
func (r *Run) prepare(ctx context.Context, plan target.Plan) (VirtualUsers, error) {
	plan.Run = r.Name
	r.phase("make accounts and conversations", 0)
	o := load.Options{BodySize: r.BodySize}
	var users VirtualUsers
	var err error
	if r.Prepare != nil {
		users, err = r.Prepare(ctx, plan, o)
	} else {
		users, err = load.Prepare(ctx, r.Target, plan, o)
	}
	if err != nil {
		return nil, err
	}
	if !r.start.IsZero() {
		return users, nil // more users of the same run
	}
	r.start = time.Now()
	return users, nil
}

// connect connects all users; a connection that fails ends the run.
func (r *Run) connect(ctx context.Context, users VirtualUsers) error {
	r.phase("connect", 0)
	if _, err := users.Connect(ctx, load.ConnectOptions{OnTick: r.onSecond(ctx)}); err != nil {
		return err
	}
	r.Report.Versions.Target = users.Version()
	return nil
}

// runPhase runs a phase and adds its result to the report.
func (r *Run) runPhase(ctx context.Context, users VirtualUsers, label string, s load.Phase) (*load.Result, error) {
	r.phase(label, s.WarmUp+s.Duration)
	from := time.Since(r.start)
	s.OnTick = r.onSecond(ctx)
	step, err := users.RunPhase(ctx, s)
	if step != nil && s.Drain > 0 && step.Missing > 0 {
		r.Report.Notes = append(r.Report.Notes, fmt.Sprintf("%s: %d receipts had not come %v later; the percentiles hold them at their age then", label, step.Missing, s.Drain))
	}
	if step != nil {
		step.Label, step.From, step.To = label, from.Seconds(), time.Since(r.start).Seconds()
		r.Report.Steps = append(r.Report.Steps, step)
	}
	return step, err
}

// runCostedPhase runs a phase and measures what its messages cost. That it cannot
// be measured ends nothing; the report says so.
func (r *Run) runCostedPhase(ctx context.Context, users VirtualUsers, label string, s load.Phase) (*load.Result, error) {
	stop := r.startCost(ctx)
	step, err := r.runPhase(ctx, users, label, s)
	messages := int64(0)
	if step != nil {
		messages = step.Accepted
	}
	if c := stop(messages); step != nil {
		step.Cost = c
	}
	return step, err
}

// startCost begins to measure what all processes use. stop ends that, and returns
// what each of a number of messages cost, or nil where that is not known; it must be
// called once.
func (r *Run) startCost(ctx context.Context) (stop func(messages int64) *cost.Cost) {
	unknown := func(int64) *cost.Cost { return nil }
	if r.CostMeter == nil {
		return unknown
	}
	note := func(err error) {
		text := "what a message cost could not be measured: " + err.Error()
		if ctx.Err() == nil && !slices.Contains(r.Report.Notes, text) {
			r.Report.Notes = append(r.Report.Notes, text)
		}
	}
	end, err := r.CostMeter.Start(ctx)
	if err != nil {
		note(err)
		return unknown
	}
	return func(messages int64) *cost.Cost {
		c, err := end(ctx, messages)
		if err != nil {
			note(err)
			return nil
		}
		return c
	}
}

// check checks every message of the run.
func (r *Run) check(ctx context.Context, users VirtualUsers) error {
	r.phase("check every message", 0)
	v, err := users.Check(ctx)
	if err != nil {
		return err
	}
	r.Report.Add(v)
	return nil
}

func (r *Run) phase(what string, length time.Duration) {
	if r.Observer != nil {
		r.Observer.Phase(what, length)
	}
}

// onSecond returns the callback for the seconds of a phase that begins now.
func (r *Run) onSecond(ctx context.Context) func(load.Second) {
	from := time.Since(r.start).Seconds()
	before := r.usage.Load()
	return func(s load.Second) {
		s.At += from
		if now := r.usage.Load(); now != nil {
			s.MemoryMiB = now.MemoryMiB
			if before != nil && now.at.After(before.at) {
				s.CPU = max(0, (now.CPU-before.CPU)/now.at.Sub(before.at).Seconds())
			}
			before = now
		}
		s.Latencies = load.Distribution{} // large, and not needed any more
		r.Report.Series = append(r.Report.Series, s)
		if r.Observer != nil && ctx.Err() == nil {
			r.Observer.Second(s)
		}
	}
}

// sampleInterval is how often the server's processes are sampled.
const sampleInterval = time.Second

// sampleUsage starts to sample the server's usage, where that is possible. stop
// ends that, and waits for the sample that is being taken.
func (r *Run) sampleUsage(ctx context.Context) (stop func()) {
	if r.Probe == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var sampling sync.WaitGroup
	sampling.Go(func() { r.sampleUntilEnd(ctx) })
	return func() {
		cancel()
		sampling.Wait()
	}
}

func (r *Run) sampleUntilEnd(ctx context.Context) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		if now, err := r.Probe.Sample(ctx); err == nil {
			r.usage.Store(&usageSample{now, time.Now()})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sampleNow samples once. It returns nil where that is not possible, and notes
// an error in the report.
func (r *Run) sampleNow(ctx context.Context, what string, p Probe) *Usage {
	if p == nil {
		return nil
	}
	now, err := p.Sample(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.Report.Notes = append(r.Report.Notes, what+" could not be looked at: "+err.Error())
		}
		return nil
	}
	return &now
}

// resources are the usage of the server's processes, of the tool's and of the
// machine at one time; nil where they are not known.
type resources struct{ server, tool, machine *Usage }

func (r *Run) sampleResources(ctx context.Context) resources {
	return resources{
		r.sampleNow(ctx, "the server's processes", r.Probe),
		r.sampleNow(ctx, "the load tool's processes", r.ToolProbe),
		r.sampleNow(ctx, "the machine", r.MachineProbe),
	}
}

// bytesEach returns by how many bytes for each of n memory has grown; 0 where that
// is not known.
func bytesEach(before, after *Usage, n int64) float64 {
	if before == nil || after == nil || n <= 0 {
		return 0
	}
	return max(0, after.MemoryMiB-before.MemoryMiB) * (1 << 20) / float64(n)
}

// pairs returns a plan of users who send to each other in pairs.
func pairs(users int) target.Plan {
	plan := target.Plan{Users: users}
	for i := 0; i+1 < users; i += 2 {
		plan.Rooms = append(plan.Rooms, []int{i, i + 1})
	}
	return plan
}

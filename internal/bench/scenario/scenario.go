// Package scenario is what the load tool does with a chat system, and how it
// finds out what it looks for. Each scenario gathers a crowd, has it do
// something, and judges every message of it when that is over.
package scenario

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// VirtualUsers is people who can be brought online and made to talk: those of package
// load, or of several processes of it (package distributed).
type VirtualUsers interface {
	Connect(ctx context.Context, o load.ConnectOptions) (*load.ConnectResult, error)
	RunPhase(ctx context.Context, s load.Phase) (*load.Result, error)
	// Ended is how many connections have ended though nobody wished it.
	Ended() int64
	// Check judges every message; nothing may be said any more.
	Check(ctx context.Context) (*audit.Verdict, error)
	// Version is what the system says of itself once somebody is connected.
	Version() string
	Close()
}

// Run is one run of a scenario: what it is run with, and where it tells.
type Run struct {
	Name     string // in the names of everything that is made for it: lower-case letters and digits
	BodySize int    // bytes of each text
	Target   target.Target
	Report   *report.Report
	// Prepare makes the crowd; nil for one in this process.
	Prepare func(ctx context.Context, plan target.Plan, o load.Options) (VirtualUsers, error)
	// Observer is told how it goes on; nil for nobody.
	Observer Observer
	// Probe looks at the server's processes; nil where they cannot be seen.
	Probe Probe

	start time.Time // of the series
	usage atomic.Pointer[usageSample]
}

// usageSample is what a probe saw.
type usageSample struct {
	Usage
	at time.Time
}

// Observer is told what happens while it happens, by one goroutine at a time.
type Observer interface {
	// Phase says that something begins, and how long it takes; 0 when nobody
	// knows.
	Phase(what string, length time.Duration)
	// Second is what happened in the last one.
	Second(s load.Second)
}

// Probe looks at the processes of a server.
type Probe interface {
	Sample(ctx context.Context) (Usage, error)
}

// Usage is what a server's processes use, all together.
type Usage struct {
	MemoryMiB float64 // resident
	CPU       float64 // seconds of processors' time so far
}

// prepare makes the crowd of a plan, and begins the run's clock.
func (r *Run) prepare(ctx context.Context, plan target.Plan) (VirtualUsers, error) {
	plan.Run = r.Name
	r.phase("make accounts and conversations", 0)
	o := load.Options{BodySize: r.BodySize}
	var crowd VirtualUsers
	var err error
	if r.Prepare != nil {
		crowd, err = r.Prepare(ctx, plan, o)
	} else {
		crowd, err = load.Prepare(ctx, r.Target, plan, o)
	}
	if err != nil {
		return nil, err
	}
	if !r.start.IsZero() {
		return crowd, nil // a second crowd of the same run
	}
	r.start = time.Now()
	if r.Probe != nil {
		go r.sampleUsage(ctx)
	}
	return crowd, nil
}

// connect brings everyone online; a connection that fails ends the run.
func (r *Run) connect(ctx context.Context, crowd VirtualUsers) error {
	r.phase("connect", 0)
	if _, err := crowd.Connect(ctx, load.ConnectOptions{OnTick: r.onSecond(ctx)}); err != nil {
		return err
	}
	r.Report.Versions.Target = crowd.Version()
	return nil
}

// runPhase has the crowd talk, and adds the step to the report.
func (r *Run) runPhase(ctx context.Context, crowd VirtualUsers, label string, s load.Phase) (*load.Result, error) {
	r.phase(label, s.WarmUp+s.Duration)
	from := time.Since(r.start)
	s.OnTick = r.onSecond(ctx)
	step, err := crowd.RunPhase(ctx, s)
	if step != nil && s.Drain > 0 && step.Missing > 0 {
		r.Report.Notes = append(r.Report.Notes, fmt.Sprintf("%s: %d receipts had not come %v later; the percentiles hold them at their age then", label, step.Missing, s.Drain))
	}
	if step != nil {
		step.Label, step.From, step.To = label, from.Seconds(), time.Since(r.start).Seconds()
		r.Report.Steps = append(r.Report.Steps, step)
	}
	return step, err
}

// check judges every message of the run.
func (r *Run) check(ctx context.Context, crowd VirtualUsers) error {
	r.phase("check every message", 0)
	v, err := crowd.Check(ctx)
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

// onSecond takes the seconds of something that begins now.
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

// sampleInterval is how often the server's processes are looked at.
const sampleInterval = time.Second

// sampleUsage looks at the server again and again, aside: nobody waits for it.
func (r *Run) sampleUsage(ctx context.Context) {
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

// sampleNow looks once; nil where nothing can be seen, which the report notes.
func (r *Run) sampleNow(ctx context.Context) *Usage {
	if r.Probe == nil {
		return nil
	}
	now, err := r.Probe.Sample(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.Report.Notes = append(r.Report.Notes, "the server's processes could not be looked at: "+err.Error())
		}
		return nil
	}
	return &now
}

// pairs is a plan of people who talk two by two.
func pairs(people int) target.Plan {
	plan := target.Plan{Users: people}
	for i := 0; i+1 < people; i += 2 {
		plan.Rooms = append(plan.Rooms, []int{i, i + 1})
	}
	return plan
}

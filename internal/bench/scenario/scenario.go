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
	Connect(ctx context.Context, o load.Opening) (*load.Opened, error)
	Talk(ctx context.Context, s load.Phase) (*load.Result, error)
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
	Name   string // in the names of everything that is made for it: lower-case letters and digits
	Body   int    // bytes of each text
	Target target.Target
	Report *report.Report
	// Gather makes the crowd; nil for one in this process.
	Gather func(ctx context.Context, plan target.Plan, o load.Options) (VirtualUsers, error)
	// Watch is told how it goes on; nil for nobody.
	Watch Watcher
	// Probe looks at the server's processes; nil where they cannot be seen.
	Probe Probe

	began time.Time // of the series
	seen  atomic.Pointer[sight]
}

// sight is what a probe saw.
type sight struct {
	Usage
	at time.Time
}

// Watcher is told what happens while it happens, by one goroutine at a time.
type Watcher interface {
	// Phase says that something begins, and how long it takes; 0 when nobody
	// knows.
	Phase(what string, length time.Duration)
	// Second is what happened in the last one.
	Second(s load.Second)
}

// Probe looks at the processes of a server.
type Probe interface {
	Look(ctx context.Context) (Usage, error)
}

// Usage is what a server's processes use, all together.
type Usage struct {
	MemoryMiB float64 // resident
	CPU       float64 // seconds of processors' time so far
}

// gather makes the crowd of a plan, and begins the run's clock.
func (r *Run) gather(ctx context.Context, plan target.Plan) (VirtualUsers, error) {
	plan.Run = r.Name
	r.phase("make accounts and conversations", 0)
	o := load.Options{Body: r.Body}
	var crowd VirtualUsers
	var err error
	if r.Gather != nil {
		crowd, err = r.Gather(ctx, plan, o)
	} else {
		crowd, err = load.Gather(ctx, r.Target, plan, o)
	}
	if err != nil {
		return nil, err
	}
	if !r.began.IsZero() {
		return crowd, nil // a second crowd of the same run
	}
	r.began = time.Now()
	if r.Probe != nil {
		go r.look(ctx)
	}
	return crowd, nil
}

// connect brings everyone online; a connection that fails ends the run.
func (r *Run) connect(ctx context.Context, crowd VirtualUsers) error {
	r.phase("connect", 0)
	if _, err := crowd.Connect(ctx, load.Opening{OnTick: r.tick(ctx)}); err != nil {
		return err
	}
	r.Report.Versions.Target = crowd.Version()
	return nil
}

// talk has the crowd talk, and adds the step to the report.
func (r *Run) talk(ctx context.Context, crowd VirtualUsers, label string, s load.Phase) (*load.Result, error) {
	r.phase(label, s.WarmUp+s.Length)
	from := time.Since(r.began)
	s.OnTick = r.tick(ctx)
	step, err := crowd.Talk(ctx, s)
	if step != nil && s.Drain > 0 && step.Missing > 0 {
		r.Report.Notes = append(r.Report.Notes, fmt.Sprintf("%s: %d receipts had not come %v later; the percentiles hold them at their age then", label, step.Missing, s.Drain))
	}
	if step != nil {
		step.Label, step.From, step.To = label, from.Seconds(), time.Since(r.began).Seconds()
		r.Report.Steps = append(r.Report.Steps, step)
	}
	return step, err
}

// conclude judges every message of the run.
func (r *Run) conclude(ctx context.Context, crowd VirtualUsers) error {
	r.phase("check every message", 0)
	v, err := crowd.Check(ctx)
	if err != nil {
		return err
	}
	r.Report.Add(v)
	return nil
}

func (r *Run) phase(what string, length time.Duration) {
	if r.Watch != nil {
		r.Watch.Phase(what, length)
	}
}

// tick takes the seconds of something that begins now.
func (r *Run) tick(ctx context.Context) func(load.Second) {
	from := time.Since(r.began).Seconds()
	before := r.seen.Load()
	return func(s load.Second) {
		s.At += from
		if now := r.seen.Load(); now != nil {
			s.MemoryMiB = now.MemoryMiB
			if before != nil && now.at.After(before.at) {
				s.CPU = max(0, (now.CPU-before.CPU)/now.at.Sub(before.at).Seconds())
			}
			before = now
		}
		s.Took = load.Distribution{} // large, and not needed any more
		r.Report.Series = append(r.Report.Series, s)
		if r.Watch != nil && ctx.Err() == nil {
			r.Watch.Second(s)
		}
	}
}

// lookEvery is how often the server's processes are looked at.
const lookEvery = time.Second

// look looks at the server again and again, aside: nobody waits for it.
func (r *Run) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if now, err := r.Probe.Look(ctx); err == nil {
			r.seen.Store(&sight{now, time.Now()})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lookNow looks once; nil where nothing can be seen, which the report notes.
func (r *Run) lookNow(ctx context.Context) *Usage {
	if r.Probe == nil {
		return nil
	}
	now, err := r.Probe.Look(ctx)
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
	plan := target.Plan{People: people}
	for i := 0; i+1 < people; i += 2 {
		plan.Rooms = append(plan.Rooms, []int{i, i + 1})
	}
	return plan
}

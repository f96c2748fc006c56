package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Connections opens many connections, keeps them open, and then has a few of
// the users send, to see whether a system with so many connections still works.
type Connections struct {
	Users       int           // with one connection each
	ConnectRate float64       // connections that are due each second; 0 means as fast as they come
	Concurrency int           // side by side, at most
	Hold        time.Duration // how long they are kept, with heartbeats alone
	Sample      int           // users who send afterwards, in pairs
	Rate        float64       // messages per second of them
}

// sampleDuration is how long the sample sends.
const sampleDuration = 5 * time.Second

// Run runs the scenario and fills in the report.
func (c *Connections) Run(ctx context.Context, r *Run) error {
	if err := c.Validate(); err != nil {
		return err
	}
	before := r.sampleResources(ctx)
	defer r.sampleUsage(ctx)()
	users, err := r.prepare(ctx, c.plan())
	if err != nil {
		return err
	}
	defer users.Close()
	opened, err := c.open(ctx, users, r)
	if err != nil {
		return err
	}
	r.phase("hold them", c.Hold)
	stop := r.startCost(ctx)
	if _, err := users.RunPhase(ctx, load.Phase{Duration: c.Hold, OnTick: r.onSecond(ctx)}); err != nil {
		stop(0)
		return err
	}
	held, after := stop(1), r.sampleResources(ctx) // no messages, so that of one is that of all
	out := &report.Connections{
		Attempted: opened.Attempted, Succeeded: opened.Succeeded, Connect: opened.Durations.Latency(),
		HeldS: c.Hold.Seconds(), Ended: users.Ended(), Errors: opened.Errors,
	}
	if s := opened.Elapsed.Seconds(); s > 0 {
		out.PerS = float64(opened.Succeeded) / s
	}
	if before.server != nil && after.server != nil && opened.Succeeded > 0 {
		out.ServerMiB = after.server.MemoryMiB
	}
	out.BytesEach = bytesEach(before.server, after.server, opened.Succeeded)
	out.ToolBytesEach = bytesEach(before.tool, after.tool, opened.Succeeded)
	out.MachineBytesEach = bytesEach(before.machine, after.machine, opened.Succeeded)
	if held != nil && c.Hold > 0 {
		out.HeldCPU, out.HeldToolCPU = held.Processors()
	}
	r.Report.Connections = out
	step, err := r.runPhase(ctx, users, fmt.Sprintf("%d of %d people talk", c.Sample, c.Users), load.Phase{
		Rate: c.Rate, Duration: sampleDuration, Drain: drainTimeout,
	})
	switch {
	case err == nil:
		r.Report.SetFigures(step)
		r.noteLag(step)
	case opened.Succeeded < opened.Attempted && ctx.Err() == nil:
		// The connections are what was to be found out.
		r.Report.Notes = append(r.Report.Notes, "the sample could not talk: "+err.Error())
	default:
		return err
	}
	return r.check(ctx, users)
}

// plan spreads the pairs who send over all users.
func (c *Connections) plan() target.Plan {
	plan := target.Plan{Users: c.Users}
	apart := max(2, c.Users/max(c.Sample/2, 1))
	for i := 0; i+1 < c.Users && len(plan.Rooms) < c.Sample/2; i += apart {
		plan.Rooms = append(plan.Rooms, []int{i, i + 1})
	}
	return plan
}

func (c *Connections) open(ctx context.Context, users VirtualUsers, r *Run) (*load.ConnectResult, error) {
	length := time.Duration(0)
	if c.ConnectRate > 0 {
		length = time.Duration(float64(c.Users) / c.ConnectRate * float64(time.Second))
	}
	r.phase(fmt.Sprintf("open %d connections", c.Users), length)
	opened, err := users.Connect(ctx, load.ConnectOptions{Rate: c.ConnectRate, Concurrency: c.Concurrency, AllowFailures: true, OnTick: r.onSecond(ctx)})
	r.Report.Versions.Target = users.Version()
	return opened, err
}

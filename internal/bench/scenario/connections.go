package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Connections opens many connections, keeps them, and then has a few of those
// people talk, to see whether a system full of them still works.
type Connections struct {
	People    int           // with one connection each
	PerSecond float64       // connections that are due each second; 0 means as fast as they come
	AtOnce    int           // side by side, at most
	Hold      time.Duration // how long they are kept, with heartbeats alone
	Sample    int           // of the people talk afterwards, in pairs
	Rate      float64       // messages per second of them
}

// sampleFor is how long the sample talks.
const sampleFor = 5 * time.Second

// Run does it and fills in the report.
func (c *Connections) Run(ctx context.Context, r *Run) error {
	before := r.lookNow(ctx)
	crowd, err := r.gather(ctx, c.plan())
	if err != nil {
		return err
	}
	defer crowd.Close()
	opened, err := c.open(ctx, crowd, r)
	if err != nil {
		return err
	}
	r.phase("hold them", c.Hold)
	if _, err := crowd.Talk(ctx, load.Phase{Length: c.Hold, OnTick: r.tick(ctx)}); err != nil {
		return err
	}
	out := &report.Connections{
		Attempted: opened.Attempted, Succeeded: opened.Succeeded, Connect: opened.Took.Latency(),
		HeldS: c.Hold.Seconds(), Ended: crowd.Ended(), Errors: opened.Errors,
	}
	if s := opened.Time.Seconds(); s > 0 {
		out.PerS = float64(opened.Succeeded) / s
	}
	if after := r.lookNow(ctx); before != nil && after != nil && opened.Succeeded > 0 {
		out.ServerMiB = after.MemoryMiB
		out.BytesEach = max(0, after.MemoryMiB-before.MemoryMiB) * (1 << 20) / float64(opened.Succeeded)
	}
	r.Report.Connections = out
	step, err := r.talk(ctx, crowd, fmt.Sprintf("%d of %d people talk", c.Sample, c.People), load.Phase{
		Rate: c.Rate, Length: sampleFor, Drain: drainFor,
	})
	switch {
	case err == nil:
		r.Report.Take(step)
		r.noteLag(step)
	case opened.Succeeded < opened.Attempted && ctx.Err() == nil:
		// The connections are what was to be found out.
		r.Report.Notes = append(r.Report.Notes, "the sample could not talk: "+err.Error())
	default:
		return err
	}
	return r.conclude(ctx, crowd)
}

// plan spreads the pairs who talk over everybody.
func (c *Connections) plan() target.Plan {
	plan := target.Plan{People: c.People}
	apart := max(2, c.People/max(c.Sample/2, 1))
	for i := 0; i+1 < c.People && len(plan.Rooms) < c.Sample/2; i += apart {
		plan.Rooms = append(plan.Rooms, []int{i, i + 1})
	}
	return plan
}

func (c *Connections) open(ctx context.Context, crowd VirtualUsers, r *Run) (*load.Opened, error) {
	length := time.Duration(0)
	if c.PerSecond > 0 {
		length = time.Duration(float64(c.People) / c.PerSecond * float64(time.Second))
	}
	r.phase(fmt.Sprintf("open %d connections", c.People), length)
	opened, err := crowd.Connect(ctx, load.Opening{PerSecond: c.PerSecond, AtOnce: c.AtOnce, Lossy: true, OnTick: r.tick(ctx)})
	r.Report.Versions.Target = crowd.Version()
	return opened, err
}

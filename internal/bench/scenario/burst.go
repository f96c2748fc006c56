package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Burst sends far more than a system sustains for a while, and watches until
// everything that it took has arrived: how long its queue gets, what it refuses,
// and how long it needs to be itself again.
type Burst struct {
	People int           // in pairs
	Rate   float64       // messages per second
	Length time.Duration // of the burst
	Drain  time.Duration // how long to wait afterwards, at most
	Body   int           // bytes of each text
	OnTick func(load.Second)
}

// Run does it and fills in the report.
func (b *Burst) Run(ctx context.Context, t target.Target, run string, r *report.Report) error {
	crowd, err := load.Gather(ctx, t, pairs(run, b.People), load.Options{Body: b.Body})
	if err != nil {
		return err
	}
	defer crowd.Close()
	r.Versions.Target = crowd.Version()
	step, err := crowd.Talk(ctx, load.Stretch{Rate: b.Rate, Length: b.Length, Drain: b.Drain, OnTick: b.OnTick})
	if err != nil {
		return err
	}
	r.Steps = append(r.Steps, step)
	r.Take(step)
	if step.Missing > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d receipts had not come %v after the burst", step.Missing, b.Drain))
	}
	if note := lagNote(step); note != "" {
		r.Notes = append(r.Notes, note)
	}
	return conclude(ctx, crowd, r)
}

// pairs is a plan of people who talk two by two.
func pairs(run string, people int) target.Plan {
	plan := target.Plan{Run: run, People: people}
	for i := 0; i+1 < people; i += 2 {
		plan.Rooms = append(plan.Rooms, []int{i, i + 1})
	}
	return plan
}

// conclude judges every message of the run.
func conclude(ctx context.Context, crowd *load.Crowd, r *report.Report) error {
	v, err := crowd.Check(ctx)
	if err != nil {
		return err
	}
	r.Verdict = *v
	return nil
}

package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

// Burst sends far more than a system sustains for a while, and waits until
// everything that was accepted has arrived. It measures how long the system's
// queue becomes, what it refuses, and how long it takes to recover.
type Burst struct {
	Users    int           // in pairs
	Rate     float64       // messages per second
	Duration time.Duration // of the burst
	Drain    time.Duration // how long to wait afterwards, at most
}

// Run runs the scenario and fills in the report.
func (b *Burst) Run(ctx context.Context, r *Run) error {
	if err := b.Validate(); err != nil {
		return err
	}
	defer r.sampleUsage(ctx)()
	users, err := r.prepare(ctx, pairs(b.Users))
	if err != nil {
		return err
	}
	defer users.Close()
	if err := r.connect(ctx, users); err != nil {
		return err
	}
	step, err := r.runPhase(ctx, users, fmt.Sprintf("burst of %.0f/s", b.Rate), load.Phase{Rate: b.Rate, Duration: b.Duration, Drain: b.Drain})
	if err != nil {
		return err
	}
	r.Report.SetFigures(step)
	r.noteLag(step)
	return r.check(ctx, users)
}

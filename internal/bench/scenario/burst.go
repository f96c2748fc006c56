package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

// Burst sends far more than a system sustains for a while, and watches until
// everything that it took has arrived: how long its queue gets, what it refuses,
// and how long it needs to be itself again.
type Burst struct {
	Users    int           // in pairs
	Rate     float64       // messages per second
	Duration time.Duration // of the burst
	Drain    time.Duration // how long to wait afterwards, at most
}

// Run does it and fills in the report.
func (b *Burst) Run(ctx context.Context, r *Run) error {
	crowd, err := r.prepare(ctx, pairs(b.Users))
	if err != nil {
		return err
	}
	defer crowd.Close()
	if err := r.connect(ctx, crowd); err != nil {
		return err
	}
	step, err := r.runPhase(ctx, crowd, fmt.Sprintf("burst of %.0f/s", b.Rate), load.Phase{Rate: b.Rate, Duration: b.Duration, Drain: b.Drain})
	if err != nil {
		return err
	}
	r.Report.SetFigures(step)
	r.noteLag(step)
	return r.check(ctx, crowd)
}

package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Fanout has a few people speak in rooms of many members who are all online:
// how long until the last one has it.
type Fanout struct {
	Sizes      []int         // members of each room
	Deliveries float64       // receipts per second that are asked for, of each room
	Senders    int           // members of a room who speak
	Duration   time.Duration // measured time of each room
	WarmUp     time.Duration // before it
}

// Run does it and fills in the report.
func (f *Fanout) Run(ctx context.Context, r *Run) error {
	crowd, err := r.prepare(ctx, f.plan())
	if err != nil {
		return err
	}
	defer crowd.Close()
	if err := r.connect(ctx, crowd); err != nil {
		return err
	}
	for room, size := range f.Sizes {
		step, err := r.runPhase(ctx, crowd, fmt.Sprintf("%d members", size), load.Phase{
			Rate: max(f.Deliveries/float64(size), 1), Senders: f.senders(room, size), WarmUp: f.WarmUp, Duration: f.Duration, Drain: drainTimeout,
		})
		if err != nil {
			return fmt.Errorf("in the room of %d: %w", size, err)
		}
		r.Report.SetFigures(step)
		r.noteLag(step)
	}
	return r.check(ctx, crowd)
}

// plan has rooms of the first so many people: who is in a small one is in the
// larger ones, too.
func (f *Fanout) plan() target.Plan {
	plan := target.Plan{Users: slices.Max(f.Sizes)}
	for _, size := range f.Sizes {
		members := make([]int, size)
		for i := range members {
			members[i] = i
		}
		plan.Rooms = append(plan.Rooms, members)
	}
	return plan
}

// senders spreads the speakers over the members.
func (f *Fanout) senders(room, size int) []load.Sender {
	turns := make([]load.Sender, min(f.Senders, size))
	for i := range turns {
		turns[i] = load.Sender{User: i * size / len(turns), Room: room}
	}
	return turns
}

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
	Speakers   int           // members of a room who speak
	Length     time.Duration // measured time of each room
	WarmUp     time.Duration // before it
}

// Run does it and fills in the report.
func (f *Fanout) Run(ctx context.Context, r *Run) error {
	crowd, err := r.gather(ctx, f.plan())
	if err != nil {
		return err
	}
	defer crowd.Close()
	if err := r.connect(ctx, crowd); err != nil {
		return err
	}
	for room, size := range f.Sizes {
		step, err := r.talk(ctx, crowd, fmt.Sprintf("%d members", size), load.Phase{
			Rate: max(f.Deliveries/float64(size), 1), Turns: f.turns(room, size), WarmUp: f.WarmUp, Length: f.Length, Drain: drainFor,
		})
		if err != nil {
			return fmt.Errorf("in the room of %d: %w", size, err)
		}
		r.Report.Take(step)
		r.noteLag(step)
	}
	return r.conclude(ctx, crowd)
}

// plan has rooms of the first so many people: who is in a small one is in the
// larger ones, too.
func (f *Fanout) plan() target.Plan {
	plan := target.Plan{People: slices.Max(f.Sizes)}
	for _, size := range f.Sizes {
		members := make([]int, size)
		for i := range members {
			members[i] = i
		}
		plan.Rooms = append(plan.Rooms, members)
	}
	return plan
}

// turns spreads the speakers over the members.
func (f *Fanout) turns(room, size int) []load.Turn {
	turns := make([]load.Turn, min(f.Speakers, size))
	for i := range turns {
		turns[i] = load.Turn{Person: i * size / len(turns), Room: room}
	}
	return turns
}

package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Fanout has a few users send in rooms of many connected members, and measures
// how long it takes until the last member has a message.
type Fanout struct {
	Sizes      []int         // members of each room
	Deliveries float64       // receipts per second that are asked for, of each room
	Senders    int           // members of a room who speak
	Duration   time.Duration // measured time of each room
	WarmUp     time.Duration // before it
}

// Run runs the scenario and fills in the report.
func (f *Fanout) Run(ctx context.Context, r *Run) error {
	if err := f.Validate(); err != nil {
		return err
	}
	defer r.sampleUsage(ctx)()
	users, err := r.prepare(ctx, f.plan())
	if err != nil {
		return err
	}
	defer users.Close()
	if err := r.connect(ctx, users); err != nil {
		return err
	}
	for room, size := range f.Sizes {
		step, err := r.runPhase(ctx, users, fmt.Sprintf("%d members", size), load.Phase{
			Rate: max(f.Deliveries/float64(size), 1), Senders: f.senders(room, size), WarmUp: f.WarmUp, Duration: f.Duration, Drain: drainTimeout,
		})
		if err != nil {
			return fmt.Errorf("in the room of %d: %w", size, err)
		}
		r.Report.SetFigures(step)
		r.noteLag(step)
	}
	return r.check(ctx, users)
}

// plan puts the first users in every room: the members of a small room are also
// in the larger ones.
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

// senders spreads the senders over the members.
func (f *Fanout) senders(room, size int) []load.Sender {
	senders := make([]load.Sender, min(f.Senders, size))
	for i := range senders {
		senders[i] = load.Sender{User: i * size / len(senders), Room: room}
	}
	return senders
}

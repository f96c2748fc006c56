package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Reconnect disconnects all users at once and has them connect again. It
// measures how long it takes until nobody misses anything, and what that costs
// the system. One of each pair is disconnected earlier while the other goes on
// sending, so that there is something to catch up with.
type Reconnect struct {
	Users       int           // in pairs
	Rate        float64       // messages per second, before, in between and afterwards
	Offset      time.Duration // how much earlier the first half is disconnected
	Spread      time.Duration // interval over which reconnects are spread at random
	Concurrency int           // concurrent reconnects, at most
}

// reconnectable is VirtualUsers that can be disconnected; those of several
// processes cannot.
type reconnectable interface {
	VirtualUsers
	CanReconnect() bool
	Disconnect(users []int)
	Reconnect(ctx context.Context, users []int, o load.ReconnectOptions) (*load.ConnectResult, error)
}

// Run runs the scenario and fills in the report.
func (s *Reconnect) Run(ctx context.Context, r *Run) error {
	if err := s.Validate(); err != nil {
		return err
	}
	defer r.sampleUsage(ctx)()
	all, err := r.prepare(ctx, pairs(s.Users))
	if err != nil {
		return err
	}
	defer all.Close()
	users, ok := all.(reconnectable)
	if !ok {
		return errors.New("users of several processes cannot be disconnected together: run this scenario in one")
	}
	if !users.CanReconnect() {
		return errors.New("the driver of this system cannot reconnect users")
	}
	if err := r.connect(ctx, users); err != nil {
		return err
	}
	quiet := load.Phase{Rate: s.Rate, Duration: sampleDuration, Drain: drainTimeout}
	if _, err := r.runPhase(ctx, users, "before", quiet); err != nil {
		return err
	}
	first, second := halves(s.Users)
	users.Disconnect(first)
	// What is sent now cannot reach the first half, so it does not wait for receipts.
	missed, err := r.runPhase(ctx, users, "half is away", load.Phase{Rate: s.Rate, Duration: s.Offset})
	if err != nil {
		return err
	}
	users.Disconnect(second)
	r.phase("everybody comes back", s.Spread)
	seconds := len(r.Report.Series)
	back, err := users.Reconnect(ctx, append(first, second...), load.ReconnectOptions{
		ConnectOptions: load.ConnectOptions{Concurrency: s.Concurrency, AllowFailures: true, OnTick: r.onSecond(ctx)}, Spread: s.Spread,
	})
	if err != nil {
		return err
	}
	out := &report.Return{
		People: s.Users, Returned: back.Succeeded, Missed: missed.Sent - missed.Refused, Synced: back.Durations.Latency(),
		AllS: back.Elapsed.Seconds(), SpreadS: s.Spread.Seconds(), Errors: back.Errors,
	}
	for _, second := range r.Report.Series[seconds:] {
		out.PeakCPU = max(out.PeakCPU, second.CPU)
	}
	if missing := int64(s.Users) - back.Succeeded; missing > 0 {
		r.Report.Notes = append(r.Report.Notes, fmt.Sprintf("%d people did not come back; the times are those of the others", missing))
	}
	r.Report.Return = out
	after, err := r.runPhase(ctx, users, "afterwards", quiet)
	if err != nil {
		return err
	}
	out.Afterwards = after.Latency
	r.Report.SetFigures(after)
	r.noteLag(after)
	return r.check(ctx, users)
}

// halves splits pairs: one user of each goes into either half.
func halves(users int) (first, second []int) {
	for i := range users {
		if i%2 == 0 {
			first = append(first, i)
		} else {
			second = append(second, i)
		}
	}
	return first, second
}

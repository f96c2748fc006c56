package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Reconnect cuts everybody off at once and has them come back: how long until
// nobody misses anything, and what that costs the system. One of each pair is
// cut off a little earlier, and the other goes on talking, so that there is
// something to be missed.
type Reconnect struct {
	Users       int           // in pairs
	Rate        float64       // messages per second, before, in between and afterwards
	Offset      time.Duration // how much earlier the first half is cut off
	Spread      time.Duration // within which each tries to come back, at a moment of its own
	Concurrency int           // who come back side by side, at most
}

// reconnectable is a crowd that can be cut off; that of several processes cannot.
type reconnectable interface {
	VirtualUsers
	CanReconnect() bool
	Disconnect(people []int)
	Reconnect(ctx context.Context, people []int, o load.ReconnectOptions) (*load.ConnectResult, error)
}

// Run does it and fills in the report.
func (s *Reconnect) Run(ctx context.Context, r *Run) error {
	all, err := r.prepare(ctx, pairs(s.Users))
	if err != nil {
		return err
	}
	defer all.Close()
	crowd, ok := all.(reconnectable)
	if !ok {
		return errors.New("people of several processes cannot be cut off together: run this scenario in one")
	}
	if !crowd.CanReconnect() {
		return errors.New("the driver of this system cannot bring people back after a loss")
	}
	if err := r.connect(ctx, crowd); err != nil {
		return err
	}
	quiet := load.Phase{Rate: s.Rate, Duration: sampleDuration, Drain: drainTimeout}
	if _, err := r.runPhase(ctx, crowd, "before", quiet); err != nil {
		return err
	}
	first, second := halves(s.Users)
	crowd.Disconnect(first)
	// What is sent now cannot reach the first half, so nobody waits for it.
	missed, err := r.runPhase(ctx, crowd, "half is away", load.Phase{Rate: s.Rate, Duration: s.Offset})
	if err != nil {
		return err
	}
	crowd.Disconnect(second)
	r.phase("everybody comes back", s.Spread)
	seconds := len(r.Report.Series)
	back, err := crowd.Reconnect(ctx, append(first, second...), load.ReconnectOptions{
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
	after, err := r.runPhase(ctx, crowd, "afterwards", quiet)
	if err != nil {
		return err
	}
	out.Afterwards = after.Latency
	r.Report.SetFigures(after)
	r.noteLag(after)
	return r.check(ctx, crowd)
}

// halves parts pairs: one of each in either half.
func halves(people int) (first, second []int) {
	for i := range people {
		if i%2 == 0 {
			first = append(first, i)
		} else {
			second = append(second, i)
		}
	}
	return first, second
}

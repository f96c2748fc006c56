package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

// Latency searches for the highest rate that a system sustains. It raises the
// rate step by step until the limit is exceeded, and then bisects a few times
// between the last good and the first bad rate (or 0, if the first rate is
// bad).
type Latency struct {
	Users    []int         // in pairs; the search is made for each number, one after the other
	From, To float64       // messages per second
	Factor   float64       // from one step to the next
	Halvings int           // after the first bad step
	Step     time.Duration // measured time of a step
	WarmUp   time.Duration // before each step
	MaxP95   time.Duration // the limit
}

// drainTimeout is how long a step waits for outstanding messages: a system that
// needs longer did not sustain the rate.
const drainTimeout = 15 * time.Second

// Run runs the scenario and fills in the report. The figures are those of the
// highest rate of all numbers of users.
func (l *Latency) Run(ctx context.Context, r *Run) error {
	if err := l.Validate(); err != nil {
		return err
	}
	defer r.sampleUsage(ctx)()
	name := r.Name
	defer func() { r.Name = name }()
	for i, count := range l.Users {
		if i > 0 {
			r.Name = fmt.Sprintf("%su%d", name, count)
		}
		if err := l.runWith(ctx, count, r); err != nil {
			return err
		}
	}
	return nil
}

// runWith searches with one number of users.
func (l *Latency) runWith(ctx context.Context, count int, r *Run) error {
	users, err := r.prepare(ctx, pairs(count))
	if err != nil {
		return err
	}
	defer users.Close()
	if err := r.connect(ctx, users); err != nil {
		return err
	}
	label := func(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }
	if len(l.Users) > 1 {
		label = func(rate float64) string { return fmt.Sprintf("%d people, %.0f/s", count, rate) }
	}
	if err := l.search(ctx, users, r, label); err != nil {
		return err
	}
	return r.check(ctx, users)
}

func (l *Latency) search(ctx context.Context, users VirtualUsers, r *Run, label func(rate float64) string) error {
	good, bad := 0.0, 0.0
	halvings := 0
	for rate := l.From; ; {
		step, err := r.runCostedPhase(ctx, users, label(rate), load.Phase{
			Rate: rate, WarmUp: l.WarmUp, Duration: l.Step, Drain: drainTimeout, MaxLag: drainTimeout,
		})
		if err != nil {
			return fmt.Errorf("at %.0f messages/s: %w", rate, err)
		}
		why := l.limitReason(step)
		if why == "" {
			good = rate
			if rate >= r.Report.Rate {
				r.Report.SetFigures(step)
			}
		} else {
			bad = rate
			r.Report.Limit = fmt.Sprintf("at %.0f/s %s", rate, why)
		}
		r.noteLag(step)
		switch {
		case bad == 0 && rate >= l.To:
			return nil
		case bad == 0:
			rate = min(rate*l.Factor, l.To)
		case halvings >= l.Halvings:
			return nil
		default:
			halvings++
			rate = (good + bad) / 2
		}
	}
}

// limitReason returns how a step exceeds the limit; empty if it does not.
func (l *Latency) limitReason(step *load.Result) string {
	unanswered := step.Sent - step.Accepted - step.Refused
	switch most := float64(l.MaxP95) / float64(time.Millisecond); {
	case step.Missing > 0:
		return fmt.Sprintf("%d receipts had not come %v later", step.Missing, drainTimeout)
	case step.Refused > 0:
		return fmt.Sprintf("%d messages were refused", step.Refused)
	case step.Failed > 0:
		return fmt.Sprintf("%d accepted messages failed", step.Failed)
	case unanswered > 0:
		return fmt.Sprintf("%d messages had no answer %v later", unanswered, drainTimeout)
	case step.Sent < step.Asked:
		return fmt.Sprintf("only %d of %d messages could be sent", step.Sent, step.Asked)
	case step.Latency.P95 > most:
		return fmt.Sprintf("the p95 is %.0f ms, above %.0f", step.Latency.P95, most)
	}
	return ""
}

// noteLag adds a note when the lag of the load tool itself is a significant
// part of the latency.
func (r *Run) noteLag(step *load.Result) {
	if step.Lag.P95 < 5 || step.Lag.P95 < step.Latency.P95/4 {
		return
	}
	r.Report.Notes = append(r.Report.Notes, fmt.Sprintf(
		"at %.0f/s the tool itself sent late (p95 %.1f ms of %.1f): it, or its machine, is a bottleneck", step.Rate, step.Lag.P95, step.Latency.P95))
}

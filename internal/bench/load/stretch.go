package load

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Phase is a time during which a crowd talks at one rate.
type Phase struct {
	Start    time.Time     // when it begins; now when it is zero
	Rate     float64       // messages per second, of all people together; at 0 nobody says anything
	Senders  []Sender      // who speaks where, in turn; nil for everyone everywhere
	WarmUp   time.Duration // at the beginning, not measured
	Duration time.Duration // measured, after the warm-up
	Drain    time.Duration // how long to wait at the end for what is on its way
	OnTick   func(Second)  // once a second; may be nil
	MaxLag   time.Duration // the pacer gives up when it is late by so much; 0 means never
}

// RunPhase has the crowd talk for a stretch, and waits until everything that was
// sent has arrived, or the time for that is over.
func (c *VirtualUsers) RunPhase(ctx context.Context, s Phase) (*Result, error) {
	if wait := time.Until(s.Start); wait > 0 {
		sleep(ctx, wait)
	}
	start := c.elapsed()
	r := &recording{start: start, measuredFrom: start + s.WarmUp}
	c.current.Store(r)
	out := &Result{Rate: s.Rate}
	stop, ticked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticked)
		out.QueuePeak = c.reportSeconds(r, s.OnTick, stop)
	}()
	asked, err := c.pace(ctx, s, r)
	sent := c.elapsed()
	last := sent
	if err == nil { // else nobody knows what is to come
		last = c.drain(ctx, r, s.Drain)
	}
	close(stop)
	<-ticked
	c.current.Store(nil)
	if s.Drain > 0 {
		c.recordOutstanding(r)
	}
	out.Asked = asked
	out.Sent, out.Accepted, out.Refused, out.Failed = r.sent.Load(), r.accepted.Load(), r.refused.Load(), r.failed.Load()
	out.Delivered = r.delivered.Load()
	out.Missing = max(r.missing(), 0)
	out.DrainS = (last - sent).Seconds()
	out.Distributions = Distributions{
		Delivery: r.delivery.take(), Answer: r.answer.take(), Complete: r.complete.take(), Lag: r.lag.take(),
		Messages: r.measured.Load(), Elapsed: last - r.measuredFrom,
	}
	out.Distributions.Receipts = r.receipts.Load()
	out.setFigures()
	return out, err
}

// recordOutstanding writes down what has not come as if it came now, which is the least
// that it takes: a percentile that leaves out what is late is none.
func (c *VirtualUsers) recordOutstanding(r *recording) {
	now := c.elapsed()
	c.audit.Outstanding(r.measuredFrom, func(due time.Duration, devices int, unanswered bool) {
		if devices > 0 {
			r.delivery.recordAll(now-due, devices)
			r.complete.record(now - due)
		}
		if unanswered {
			r.answer.record(now - due)
		}
	})
}

// pace sends each message when it is due, and tells how many there were.
func (c *VirtualUsers) pace(ctx context.Context, s Phase, r *recording) (asked int64, err error) {
	turns := s.Senders
	if turns == nil {
		turns = c.senders
	}
	turn := 0
	alarm := newPreciseTimer()
	defer alarm.close()
	total := int(s.Rate * (s.WarmUp + s.Duration).Seconds())
	for n := range total {
		due := r.start + time.Duration(float64(n)/s.Rate*float64(time.Second))
		now := c.elapsed()
		for ; now < due; now = c.elapsed() {
			alarm.sleep(min(due-now, maxSleep)) // never spins: the system may need the processor
			if ctx.Err() != nil {
				return int64(total), ctx.Err()
			}
		}
		if n%64 == 0 && ctx.Err() != nil {
			return int64(total), ctx.Err()
		}
		if due >= r.measuredFrom {
			r.lag.record(now - due)
		}
		if s.MaxLag > 0 && now-due > s.MaxLag {
			return int64(total), nil // what was not sent shows in the counts
		}
		conn, err := c.nextSender(turns, &turn)
		if err != nil {
			return int64(total), err
		}
		t := turns[turn-1]
		p := c.users[t.User]
		if err := p.send(conn, t.Room, due, r); err != nil && p.currentConn() == conn {
			return int64(total), c.connectionError(ctx, err)
		}
	}
	if wait := r.measuredFrom + s.Duration - c.elapsed(); s.Rate == 0 && wait > 0 {
		sleep(ctx, wait)
	}
	return int64(total), ctx.Err()
}

// maxSleep is how long a run that is to end may take to notice.
const maxSleep = 100 * time.Millisecond

// nextSender finds the next turn of somebody who is there; it is the one before turn.
func (c *VirtualUsers) nextSender(turns []Sender, turn *int) (target.Conn, error) {
	for range turns {
		if *turn == len(turns) {
			*turn = 0
		}
		*turn++
		if conn := c.users[turns[*turn-1].User].currentConn(); conn != nil {
			return conn, nil
		}
	}
	return nil, errNobodyConnected
}

// connectionError says why a connection takes nothing: because it ended, which whoever reads
// it knows better than whoever writes, and may be about to say.
func (c *VirtualUsers) connectionError(ctx context.Context, err error) error {
	for until := c.elapsed() + quietTimeout; c.elapsed() < until && ctx.Err() == nil; sleep(ctx, time.Millisecond) {
		if first := c.firstEnd.Load(); first != nil {
			return *first
		}
	}
	return fmt.Errorf("a connection takes nothing, and has not ended: %w", err)
}

// drain waits until nothing is on its way, and tells when that was; then for
// answers, which a system may give after it has delivered.
func (c *VirtualUsers) drain(ctx context.Context, r *recording, most time.Duration) time.Duration {
	until := c.elapsed() + most
	wait := func(left func() int64) {
		for left() > 0 && c.elapsed() < until && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	wait(r.missing)
	last := c.elapsed()
	wait(r.unanswered)
	return last
}

// queueInterval is how often the queue's length is looked at.
const queueInterval = 50 * time.Millisecond

// reportSeconds tells what happens each second, until stop closes, and gives the length
// that the queue had at most.
func (c *VirtualUsers) reportSeconds(r *recording, tell func(Second), stop <-chan struct{}) (peak int64) {
	tick, look := time.NewTicker(time.Second), time.NewTicker(queueInterval)
	defer tick.Stop()
	defer look.Stop()
	var before Second // the sums up to the last second
	longest := int64(0)
	note := func() {
		all := Second{Sent: r.sent.Load(), Accepted: r.accepted.Load(), Refused: r.refused.Load(), Delivered: r.delivered.Load()}
		s := Second{
			At: (c.elapsed() - r.start).Seconds(), Sent: all.Sent - before.Sent, Accepted: all.Accepted - before.Accepted,
			Refused: all.Refused - before.Refused, Delivered: all.Delivered - before.Delivered, InFlight: max(r.missing(), 0),
			Queue: max(longest, r.queue()), Connected: c.connected.Load(), Latencies: r.second.take(),
		}
		s.setPercentiles()
		before, longest = all, 0
		if tell != nil {
			tell(s)
		}
	}
	for {
		select {
		case <-stop:
			note()
			return peak
		case <-tick.C:
			note()
		case <-look.C:
			longest = max(longest, r.queue())
			peak = max(peak, longest)
		}
	}
}

package load

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Phase is a time during which a crowd talks at one rate.
type Phase struct {
	Begin   time.Time     // when it begins; now when it is zero
	Rate    float64       // messages per second, of all people together; at 0 nobody says anything
	Turns   []Turn        // who speaks where, in turn; nil for everyone everywhere
	WarmUp  time.Duration // at the beginning, not measured
	Length  time.Duration // measured, after the warm-up
	Drain   time.Duration // how long to wait at the end for what is on its way
	OnTick  func(Second)  // once a second; may be nil
	Stalled time.Duration // the pacer gives up when it is late by so much; 0 means never
}

// Talk has the crowd talk for a stretch, and waits until everything that was
// sent has arrived, or the time for that is over.
func (c *VirtualUsers) Talk(ctx context.Context, s Phase) (*Result, error) {
	if wait := time.Until(s.Begin); wait > 0 {
		sleep(ctx, wait)
	}
	start := c.elapsed()
	r := &recording{from: start, warm: start + s.WarmUp}
	c.now.Store(r)
	out := &Result{Rate: s.Rate}
	stop, ticked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticked)
		out.QueuePeak = c.watch(r, s.OnTick, stop)
	}()
	asked, err := c.pace(ctx, s, r)
	sent := c.elapsed()
	last := sent
	if err == nil { // else nobody knows what is to come
		last = c.drain(ctx, r, s.Drain)
	}
	close(stop)
	<-ticked
	c.now.Store(nil)
	if s.Drain > 0 {
		c.charge(r)
	}
	out.Asked = asked
	out.Sent, out.Accepted, out.Refused, out.Failed = r.sent.Load(), r.accepted.Load(), r.refused.Load(), r.failed.Load()
	out.Delivered = r.delivered.Load()
	out.Missing = max(r.missing(), 0)
	out.DrainS = (last - sent).Seconds()
	out.Took = Took{
		Delivery: r.delivery.take(), Answer: r.answer.take(), Complete: r.complete.take(), Lag: r.lag.take(),
		Messages: r.measured.Load(), Time: last - r.warm,
	}
	out.Took.Receipts = r.receipts.Load()
	out.finish()
	return out, err
}

// charge writes down what has not come as if it came now, which is the least
// that it takes: a percentile that leaves out what is late is none.
func (c *VirtualUsers) charge(r *recording) {
	now := c.elapsed()
	c.ledger.Outstanding(r.warm, func(due time.Duration, devices int, unanswered bool) {
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
	turns := s.Turns
	if turns == nil {
		turns = c.turns
	}
	turn := 0
	alarm := newAlarm()
	defer alarm.close()
	total := int(s.Rate * (s.WarmUp + s.Length).Seconds())
	for n := range total {
		due := r.from + time.Duration(float64(n)/s.Rate*float64(time.Second))
		now := c.elapsed()
		for ; now < due; now = c.elapsed() {
			alarm.sleep(min(due-now, longestNap)) // never spins: the system may need the processor
			if ctx.Err() != nil {
				return int64(total), ctx.Err()
			}
		}
		if n%64 == 0 && ctx.Err() != nil {
			return int64(total), ctx.Err()
		}
		if due >= r.warm {
			r.lag.record(now - due)
		}
		if s.Stalled > 0 && now-due > s.Stalled {
			return int64(total), nil // what was not sent shows in the counts
		}
		conn, err := c.next(turns, &turn)
		if err != nil {
			return int64(total), err
		}
		t := turns[turn-1]
		p := c.people[t.Person]
		if err := p.say(conn, t.Room, due, r); err != nil && p.connection() == conn {
			return int64(total), c.why(ctx, err)
		}
	}
	if wait := r.warm + s.Length - c.elapsed(); s.Rate == 0 && wait > 0 {
		sleep(ctx, wait)
	}
	return int64(total), ctx.Err()
}

// longestNap is how long a run that is to end may take to notice.
const longestNap = 100 * time.Millisecond

// next finds the next turn of somebody who is there; it is the one before turn.
func (c *VirtualUsers) next(turns []Turn, turn *int) (target.Conn, error) {
	for range turns {
		if *turn == len(turns) {
			*turn = 0
		}
		*turn++
		if conn := c.people[turns[*turn-1].Person].connection(); conn != nil {
			return conn, nil
		}
	}
	return nil, errAway
}

// why says why a connection takes nothing: because it ended, which whoever reads
// it knows better than whoever writes, and may be about to say.
func (c *VirtualUsers) why(ctx context.Context, err error) error {
	for until := c.elapsed() + patience; c.elapsed() < until && ctx.Err() == nil; sleep(ctx, time.Millisecond) {
		if first := c.first.Load(); first != nil {
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

// queueEvery is how often the queue's length is looked at.
const queueEvery = 50 * time.Millisecond

// watch tells what happens each second, until stop closes, and gives the length
// that the queue had at most.
func (c *VirtualUsers) watch(r *recording, tell func(Second), stop <-chan struct{}) (peak int64) {
	tick, look := time.NewTicker(time.Second), time.NewTicker(queueEvery)
	defer tick.Stop()
	defer look.Stop()
	var before Second // the sums up to the last second
	longest := int64(0)
	note := func() {
		all := Second{Sent: r.sent.Load(), Accepted: r.accepted.Load(), Refused: r.refused.Load(), Delivered: r.delivered.Load()}
		s := Second{
			At: (c.elapsed() - r.from).Seconds(), Sent: all.Sent - before.Sent, Accepted: all.Accepted - before.Accepted,
			Refused: all.Refused - before.Refused, Delivered: all.Delivered - before.Delivered, InFlight: max(r.missing(), 0),
			Queue: max(longest, r.queue()), Connected: c.open.Load(), Took: r.second.take(),
		}
		s.finish()
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

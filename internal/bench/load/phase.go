package load

import (
	"context"
	"fmt"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/precisetimer"
)

// Phase is a part of a run in which virtual users send at one rate.
type Phase struct {
	Start    time.Time     // when it starts; now if zero
	Rate     float64       // messages per second, of all users together; 0 sends nothing
	Senders  []Sender      // who sends, in rotation; nil for every user in each of their rooms
	WarmUp   time.Duration // at the start, not measured
	Duration time.Duration // measured, after the warm-up
	Drain    time.Duration // how long to wait at the end for outstanding receipts and answers, at most
	OnTick   func(Second)  // once a second; may be nil
	MaxLag   time.Duration // the pacer stops when it is this late; 0 means never
}

// RunPhase has the users send for a phase, and waits until everything that was
// sent has been received, or until the drain timeout has passed.
func (v *VirtualUsers) RunPhase(ctx context.Context, s Phase) (*Result, error) {
	if wait := time.Until(s.Start); wait > 0 {
		sleep(ctx, wait)
	}
	start := v.elapsed()
	r := &recording{start: start, measuredFrom: start + s.WarmUp}
	v.current.Store(r)
	out := &Result{Rate: s.Rate}
	stop, ticked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticked)
		out.QueuePeak = v.reportSeconds(r, s.OnTick, stop)
	}()
	asked, err := v.pace(ctx, s, r)
	sent := v.elapsed()
	last := sent
	if err == nil { // else what was sent may never arrive
		last = v.drain(ctx, r, s.Drain)
	}
	close(stop)
	<-ticked
	v.current.Store(nil)
	if s.Drain > 0 {
		v.recordOutstanding(r)
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

// recordOutstanding records what has not been received with its age now, which
// is the least that it takes. Percentiles without the late messages would be
// too low.
func (v *VirtualUsers) recordOutstanding(r *recording) {
	now := v.elapsed()
	v.audit.Outstanding(r.measuredFrom, func(due time.Duration, devices int, unanswered bool) {
		if devices > 0 {
			r.delivery.recordAll(now-due, devices)
			r.complete.record(now - due)
		}
		if unanswered {
			r.answer.record(now - due)
		}
	})
}

// pace sends each message when it is due, and returns how many were due.
func (v *VirtualUsers) pace(ctx context.Context, s Phase, r *recording) (asked int64, err error) {
	senders := s.Senders
	if senders == nil {
		senders = v.senders
	}
	next := 0
	total := int(s.Rate * (s.WarmUp + s.Duration).Seconds())
	for n := range total {
		due := r.start + time.Duration(float64(n)/s.Rate*float64(time.Second))
		now := v.elapsed()
		for ; now < due; now = v.elapsed() {
			precisetimer.Sleep(max(minSleep, min(due-now, maxSleep))) // never spins: the system may need the processor
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
		conn, err := v.nextSender(senders, &next)
		if err != nil {
			return int64(total), err
		}
		sender := senders[next-1]
		u := v.users[sender.User]
		if err := u.send(conn, sender.Room, due, r); err != nil && u.currentConn() == conn {
			return int64(total), v.connectionError(ctx, err)
		}
	}
	if wait := r.measuredFrom + s.Duration - v.elapsed(); s.Rate == 0 && wait > 0 {
		sleep(ctx, wait)
	}
	return int64(total), ctx.Err()
}

const (
	// minSleep is the shortest sleep. Messages that are due within it are sent
	// together: to wake up for each of ten thousand a second costs more than to send
	// it, on both sides.
	minSleep = 250 * time.Microsecond
	// maxSleep bounds how long a canceled run takes to notice.
	maxSleep = 100 * time.Millisecond
)

// nextSender advances next past the next sender who is connected, and returns
// the connection. That sender is senders[*next-1].
func (v *VirtualUsers) nextSender(senders []Sender, next *int) (target.Conn, error) {
	for range senders {
		if *next == len(senders) {
			*next = 0
		}
		*next++
		if conn := v.users[senders[*next-1].User].currentConn(); conn != nil {
			return conn, nil
		}
	}
	return nil, errNobodyConnected
}

// connectionError returns why sending failed. The connection has ended, and its
// reader knows the reason better than the writer; it may be about to report it.
func (v *VirtualUsers) connectionError(ctx context.Context, err error) error {
	for until := v.elapsed() + quietTimeout; v.elapsed() < until && ctx.Err() == nil; sleep(ctx, time.Millisecond) {
		if first := v.firstEnd.Load(); first != nil {
			return *first
		}
	}
	return fmt.Errorf("a connection takes nothing, and has not ended: %w", err)
}

// drain waits until every expected receipt has come, and returns when that was.
// Then it waits for answers, which a system may give after it has delivered.
func (v *VirtualUsers) drain(ctx context.Context, r *recording, timeout time.Duration) time.Duration {
	until := v.elapsed() + timeout
	wait := func(remaining func() int64) {
		for remaining() > 0 && v.elapsed() < until && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	wait(r.missing)
	last := v.elapsed()
	wait(r.unanswered)
	return last
}

// queueInterval is how often the queue length is sampled.
const queueInterval = 50 * time.Millisecond

// reportSeconds calls onTick each second until stop closes, and returns the
// peak queue length.
func (v *VirtualUsers) reportSeconds(r *recording, onTick func(Second), stop <-chan struct{}) (peak int64) {
	tick, sample := time.NewTicker(time.Second), time.NewTicker(queueInterval)
	defer tick.Stop()
	defer sample.Stop()
	var before Second // the sums up to the last second
	longestQueue := int64(0)
	emit := func() {
		all := Second{Sent: r.sent.Load(), Accepted: r.accepted.Load(), Refused: r.refused.Load(), Delivered: r.delivered.Load()}
		s := Second{
			At: (v.elapsed() - r.start).Seconds(), Sent: all.Sent - before.Sent, Accepted: all.Accepted - before.Accepted,
			Refused: all.Refused - before.Refused, Delivered: all.Delivered - before.Delivered, InFlight: max(r.missing(), 0),
			Queue: max(longestQueue, r.queue()), Connected: v.connected.Load(), Latencies: r.second.take(),
		}
		s.setPercentiles()
		before, longestQueue = all, 0
		if onTick != nil {
			onTick(s)
		}
	}
	for {
		select {
		case <-stop:
			emit()
			return peak
		case <-tick.C:
			emit()
		case <-sample.C:
			longestQueue = max(longestQueue, r.queue())
			peak = max(peak, longestQueue)
		}
	}
}

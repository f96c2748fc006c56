package load

import (
	"context"
	"time"
)

// Stretch is a time during which a crowd talks at one rate.
type Stretch struct {
	Rate    float64       // messages per second, of all people together
	WarmUp  time.Duration // at the beginning, not measured
	Length  time.Duration // measured, after the warm-up
	Drain   time.Duration // how long to wait at the end for what is on its way
	OnTick  func(Second)  // once a second; may be nil
	Stalled time.Duration // the pacer gives up when it is late by so much; 0 means never
}

// Result is what a stretch did.
type Result struct {
	Rate      float64  `json:"rate"`       // that was asked for
	Sent      int64    `json:"sent"`       // warm-up included, as in all counts
	Accepted  int64    `json:"accepted"`   //
	Refused   int64    `json:"refused"`    //
	Failed    int64    `json:"failed"`     //
	Delivered int64    `json:"delivered"`  // receipts by devices, the sender's own included
	Missing   int64    `json:"missing"`    // receipts that had not come when the wait was over
	PerSecond float64  `json:"msgs_per_s"` // messages of the measured time that were received by all, over the time until they were
	Latency   Latency  `json:"latency_ms"` // from due to received, at every device
	Answer    Latency  `json:"accepted_ms"`
	Lag       Latency  `json:"send_lag_ms"` // from due to sent: the tool's own lateness
	QueuePeak int64    `json:"queue_peak"`  // messages that were accepted and had not come, at most
	DrainS    float64  `json:"drain_s"`     // from the last send to the last receipt
	Series    []Second `json:"series"`
}

// Talk has the crowd talk for a stretch, and waits until everything that was
// sent has arrived, or the time for that is over.
func (c *Crowd) Talk(ctx context.Context, s Stretch) (*Result, error) {
	start := c.elapsed()
	r := &recording{from: start, warm: start + s.WarmUp}
	c.now.Store(r)
	out := &Result{Rate: s.Rate}
	stop, ticked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticked)
		out.Series, out.QueuePeak = c.watch(r, s.OnTick, stop)
	}()
	err := c.pace(ctx, s, r)
	sent := c.elapsed()
	last := c.drain(ctx, r, s.Drain)
	close(stop)
	<-ticked
	c.now.Store(nil)
	out.Sent, out.Accepted, out.Refused, out.Failed = r.sent.Load(), r.accepted.Load(), r.refused.Load(), r.failed.Load()
	out.Delivered = r.delivered.Load()
	out.Missing = max(r.missing(), 0)
	out.DrainS = (last - sent).Seconds()
	if out.Sent > 0 {
		each := float64(r.audience.Load()) / float64(out.Sent) // receipts of one message
		out.PerSecond = float64(r.measured.Load()) / each / (last - r.warm).Seconds()
	}
	out.Latency, out.Answer, out.Lag = latencyOf(r.delivery.take()), latencyOf(r.answer.take()), latencyOf(r.lag.take())
	return out, err
}

// missing is how many receipts have not come of what was not refused.
func (r *recording) missing() int64 { return r.expected.Load() - r.delivered.Load() }

// pace sends each message when it is due, one person after the other.
func (c *Crowd) pace(ctx context.Context, s Stretch, r *recording) error {
	total := int(s.Rate * (s.WarmUp + s.Length).Seconds())
	alarm := newAlarm()
	defer alarm.close()
	for n := range total {
		due := r.from + time.Duration(float64(n)/s.Rate*float64(time.Second))
		now := c.elapsed()
		for ; now < due; now = c.elapsed() {
			alarm.sleep(due - now) // never spins: the system may need the processor
		}
		if n%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if due >= r.warm {
			r.lag.record(now - due)
		}
		if s.Stalled > 0 && now-due > s.Stalled {
			return nil // what was not sent shows in the counts
		}
		if err := c.people[n%len(c.people)].say(due, r); err != nil {
			if c.ended.Load() > 0 {
				return *c.first.Load()
			}
			return errEnded
		}
	}
	return nil
}

// drain waits until nothing is on its way, and tells when that was.
func (c *Crowd) drain(ctx context.Context, r *recording, most time.Duration) time.Duration {
	for until := c.elapsed() + most; r.missing() > 0 && c.elapsed() < until && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
	return c.elapsed()
}

// queueEvery is how often the queue's length is looked at.
const queueEvery = 50 * time.Millisecond

// watch notes what happens each second, until stop closes.
func (c *Crowd) watch(r *recording, tell func(Second), stop <-chan struct{}) (series []Second, peak int64) {
	tick, look := time.NewTicker(time.Second), time.NewTicker(queueEvery)
	defer tick.Stop()
	defer look.Stop()
	var before Second
	note := func() {
		h := r.second.take()
		all := Second{Sent: r.sent.Load(), Accepted: r.accepted.Load(), Refused: r.refused.Load(), Delivered: r.delivered.Load()}
		s := Second{
			At: (c.elapsed() - r.from).Seconds(), Sent: all.Sent - before.Sent, Accepted: all.Accepted - before.Accepted,
			Refused: all.Refused - before.Refused, Delivered: all.Delivered - before.Delivered, InFlight: max(r.missing(), 0), Queue: r.queue(),
			P50: float64(h.ValueAtQuantile(50)) / 1000, P95: float64(h.ValueAtQuantile(95)) / 1000, P99: float64(h.ValueAtQuantile(99)) / 1000,
		}
		before = all
		series = append(series, s)
		if tell != nil {
			tell(s)
		}
	}
	for {
		select {
		case <-stop:
			note()
			return series, peak
		case <-tick.C:
			note()
		case <-look.C:
			peak = max(peak, r.queue())
		}
	}
}

package notifier

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// put gives a parcel to its line.
func (r *run) put(ctx context.Context, p *parcel) {
	p.since = time.Now()
	l, idle, out := r.lines.put(p)
	r.end(out...)
	if idle {
		r.sending.Go(func() { r.serve(ctx, l) })
		return
	}
	r.release(p)
}

// release lets a parcel's delivery be done. A parcel that waits for its own
// device or user must not hold it: queues hand out so many deliveries, and
// others are in them.
func (r *run) release(parcels ...*parcel) {
	for _, p := range parcels {
		p.released.Do(func() { r.notes.finish(p.note) })
	}
}

// end is done with parcels that are in no line any more.
func (r *run) end(parcels ...*parcel) {
	r.release(parcels...)
	for range parcels {
		<-r.open
	}
}

// serve sends what is in a line until that is nothing, or ctx ends; what was
// not released then comes again.
func (r *run) serve(ctx context.Context, l *line) {
	for {
		pause, over, out := r.lines.turn(l, time.Now(), r.GiveUp)
		if len(out) > 0 {
			r.log.WarnContext(ctx, "notifications are given up: the service takes none", "service", l.host, "notifications", len(out))
			r.end(out...)
		}
		if over || (pause > 0 && !r.rest(ctx, l, pause)) || !r.sendNext(ctx, l) {
			return
		}
	}
}

// rest waits for a line's pause to be over; false when ctx has ended.
func (r *run) rest(ctx context.Context, l *line, pause time.Duration) bool {
	r.release(r.lines.waiting(l)...)
	select {
	case <-ctx.Done():
		return false
	case <-r.After(pause):
	}
	// What is true only of the moment: read, come back, logged out.
	r.again(ctx, l, r.lines.wake(l))
	return ctx.Err() == nil
}

// sendNext sends a line's next parcel once there is a lane for it; false when
// ctx has ended. What has begun is finished also then; the sender has a timeout
// of its own.
func (r *run) sendNext(ctx context.Context, l *line) bool {
	leave, err := r.enter(ctx, l)
	if err != nil {
		return false
	}
	p := r.lines.next(l)
	if p == nil {
		leave()
		return true
	}
	err = r.Sender.Send(context.WithoutCancel(ctx), p.to, p.what)
	leave()
	if ctx.Err() != nil && err != nil {
		return false
	}
	r.settle(ctx, l, p, err)
	return true
}

// enter takes a lane of the user, then one of the service, then one of all.
// Whoever waits holds only what is narrower: a user who has too much on the way
// holds up nobody else.
func (r *run) enter(ctx context.Context, l *line) (leave func(), err error) {
	user, err := r.perUser.enter(ctx, l.user, func() { r.release(r.lines.waiting(l)...) })
	if err != nil {
		return nil, err
	}
	host, err := r.perHost.enter(ctx, l.host, func() {})
	if err != nil {
		user()
		return nil, err
	}
	all, err := r.inAll.enter(ctx, struct{}{}, func() {})
	if err != nil {
		host()
		user()
		return nil, err
	}
	return func() { all(); host(); user() }, nil
}

// settle deals with how a send has ended.
func (r *run) settle(ctx context.Context, l *line, p *parcel, err error) {
	var retry *webpush.RetryError
	if errors.As(err, &retry) {
		end, out := r.lines.failed(l, p, time.Now(), retry.After, r.taken.Load())
		if end {
			r.log.WarnContext(ctx, "a subscription ends: its service has taken nothing for days", "service", l.host, "error", err)
			r.drop(ctx, l)
		}
		r.end(out...)
		return
	}
	r.lines.answered(l)
	switch {
	case err == nil:
		r.taken.Add(1)
	case errors.Is(err, webpush.ErrGone):
		r.drop(ctx, l)
	default:
		r.log.WarnContext(ctx, "a notification could not be sent", "error", err)
	}
	r.end(p)
}

func (r *run) drop(ctx context.Context, l *line) {
	if err := r.Store.DropSubscription(context.WithoutCancel(ctx), l.endpoint); err != nil {
		r.log.ErrorContext(ctx, "a subscription that has ended could not be removed", "service", l.host, "error", err)
	}
}

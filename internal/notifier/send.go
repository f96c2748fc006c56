package notifier

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// enqueue gives a parcel to its line.
func (r *worker) enqueue(ctx context.Context, p *deviceNotification) {
	p.queuedAt = time.Now()
	l, idle, out := r.queues.add(p)
	r.finish(out...)
	if idle {
		r.senders.Go(func() { r.serve(ctx, l) })
		return
	}
	r.ackEarly(p)
}

// ackEarly lets a parcel's delivery be done. A parcel that waits for its own
// device or user must not hold it: queues hand out so many deliveries, and
// others are in them.
func (r *worker) ackEarly(parcels ...*deviceNotification) {
	for _, p := range parcels {
		p.ackOnce.Do(func() { r.pending.finish(p.pending) })
	}
}

// finish is done with parcels that are in no line any more.
func (r *worker) finish(parcels ...*deviceNotification) {
	r.ackEarly(parcels...)
	for range parcels {
		<-r.slots
	}
}

// serve sends what is in a line until that is nothing, or ctx ends; what was
// not released then comes again.
func (r *worker) serve(ctx context.Context, l *deviceQueue) {
	for {
		pause, over, out := r.queues.next(l, time.Now(), r.GiveUpAfter)
		if len(out) > 0 {
			r.log.WarnContext(ctx, "notifications are given up: the service takes none", "service", l.host, "notifications", len(out))
			r.finish(out...)
		}
		if over || (pause > 0 && !r.pause(ctx, l, pause)) || !r.sendNext(ctx, l) {
			return
		}
	}
}

// pause waits for a line's pause to be over; false when ctx has ended.
func (r *worker) pause(ctx context.Context, l *deviceQueue, pause time.Duration) bool {
	r.ackEarly(r.queues.snapshot(l)...)
	select {
	case <-ctx.Done():
		return false
	case <-r.After(pause):
	}
	// What is true only of the moment: read, come back, logged out.
	r.refresh(ctx, l, r.queues.resume(l))
	return ctx.Err() == nil
}

// sendNext sends a line's next parcel once there is a lane for it; false when
// ctx has ended. What has begun is finished also then; the sender has a timeout
// of its own.
func (r *worker) sendNext(ctx context.Context, l *deviceQueue) bool {
	leave, err := r.acquire(ctx, l)
	if err != nil {
		return false
	}
	p := r.queues.pop(l)
	if p == nil {
		leave()
		return true
	}
	err = r.Sender.Send(context.WithoutCancel(ctx), p.subscription, p.notification)
	leave()
	if ctx.Err() != nil && err != nil {
		return false
	}
	r.handleResult(ctx, l, p, err)
	return true
}

// acquire takes a lane of the user, then one of the service, then one of all.
// Whoever waits holds only what is narrower: a user who has too much on the way
// holds up nobody else.
func (r *worker) acquire(ctx context.Context, l *deviceQueue) (leave func(), err error) {
	user, err := r.userSemaphore.acquire(ctx, l.user, func() { r.ackEarly(r.queues.snapshot(l)...) })
	if err != nil {
		return nil, err
	}
	host, err := r.hostSemaphore.acquire(ctx, l.host, func() {})
	if err != nil {
		user()
		return nil, err
	}
	all, err := r.globalSemaphore.acquire(ctx, struct{}{}, func() {})
	if err != nil {
		host()
		user()
		return nil, err
	}
	return func() { all(); host(); user() }, nil
}

// handleResult deals with how a send has ended.
func (r *worker) handleResult(ctx context.Context, l *deviceQueue, p *deviceNotification, err error) {
	var retry *webpush.RetryError
	if errors.As(err, &retry) {
		end, out := r.queues.failed(l, p, time.Now(), retry.After, r.accepted.Load())
		if end {
			r.log.WarnContext(ctx, "a subscription ends: its service has taken nothing for days", "service", l.host, "error", err)
			r.dropSubscription(ctx, l)
		}
		r.finish(out...)
		return
	}
	r.queues.succeeded(l)
	switch {
	case err == nil:
		r.accepted.Add(1)
	case errors.Is(err, webpush.ErrGone):
		r.dropSubscription(ctx, l)
	default:
		r.log.WarnContext(ctx, "a notification could not be sent", "error", err)
	}
	r.finish(p)
}

func (r *worker) dropSubscription(ctx context.Context, l *deviceQueue) {
	if err := r.Store.DropSubscription(context.WithoutCancel(ctx), l.endpoint); err != nil {
		r.log.ErrorContext(ctx, "a subscription that has ended could not be removed", "service", l.host, "error", err)
	}
}

package notifier

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// enqueue adds a notification to the queue of its device, and starts the sender of
// the queue unless it runs.
func (w *worker) enqueue(ctx context.Context, d *deviceNotification) {
	d.queuedAt = time.Now()
	q, start, dropped := w.queues.add(d)
	w.finish(dropped...)
	if start {
		w.senders.Go(func() { w.serve(ctx, q) })
		return
	}
	w.ackEarly(d)
}

// ackEarly acknowledges notifications before they are sent. Those that wait for their
// own device or user must not keep a delivery unacknowledged: the number of
// unacknowledged deliveries is limited, and they contain jobs for others.
func (w *worker) ackEarly(ds ...*deviceNotification) {
	for _, d := range ds {
		d.ackOnce.Do(func() { w.pending.finish(d.pending) })
	}
}

// finish ends notifications that are in no queue any more.
func (w *worker) finish(ds ...*deviceNotification) {
	w.ackEarly(ds...)
	for range ds {
		<-w.slots
	}
}

// serve sends the notifications of a queue until it is empty or ctx ends. Those that
// were not acknowledged by then are redelivered.
func (w *worker) serve(ctx context.Context, q *deviceQueue) {
	for {
		pause, done, dropped := w.queues.next(q, time.Now(), w.GiveUpAfter)
		if len(dropped) > 0 {
			w.log.WarnContext(ctx, "notifications are given up: the push service accepts none", "service", q.host, "notifications", len(dropped))
			w.finish(dropped...)
		}
		if done || (pause > 0 && !w.pause(ctx, q, pause)) || !w.sendNext(ctx, q) {
			return
		}
	}
}

// pause waits until the pause of a queue is over. It reports false when ctx has
// ended.
func (w *worker) pause(ctx context.Context, q *deviceQueue, pause time.Duration) bool {
	w.ackEarly(w.queues.snapshot(q)...)
	select {
	case <-ctx.Done():
		return false
	case <-w.After(pause):
	}
	// Meanwhile the user may have read it, come online or logged out.
	w.refresh(ctx, q, w.queues.resume(q))
	return ctx.Err() == nil
}

// sendNext sends the next notification of a queue when the semaphores allow it. It
// reports false when ctx has ended. A send that has begun is finished also then; the
// sender has a timeout of its own.
func (w *worker) sendNext(ctx context.Context, q *deviceQueue) bool {
	release, err := w.acquire(ctx, q)
	if err != nil {
		return false
	}
	d := w.queues.pop(q)
	if d == nil {
		release()
		return true
	}
	err = w.Sender.Send(context.WithoutCancel(ctx), d.subscription, d.notification)
	release()
	if ctx.Err() != nil && err != nil {
		return false
	}
	w.handleResult(ctx, q, d, err)
	return true
}

// acquire acquires the semaphore of the user, then that of the service, then the
// global one. While it waits it holds only narrower ones, so a user who has too many
// sends in flight delays nobody else.
func (w *worker) acquire(ctx context.Context, q *deviceQueue) (release func(), err error) {
	user, err := w.userSemaphore.acquire(ctx, q.user, func() { w.ackEarly(w.queues.snapshot(q)...) })
	if err != nil {
		return nil, err
	}
	host, err := w.hostSemaphore.acquire(ctx, q.host, func() {})
	if err != nil {
		user()
		return nil, err
	}
	all, err := w.globalSemaphore.acquire(ctx, struct{}{}, func() {})
	if err != nil {
		host()
		user()
		return nil, err
	}
	return func() { all(); host(); user() }, nil
}

// handleResult handles the result of a send.
func (w *worker) handleResult(ctx context.Context, q *deviceQueue, d *deviceNotification, err error) {
	var retry *webpush.RetryError
	if errors.As(err, &retry) {
		end, dropped := w.queues.failed(q, d, time.Now(), retry.After, w.accepted.Load())
		if end {
			w.log.WarnContext(ctx, "a subscription is dropped: its push service has accepted nothing for days", "service", q.host, "error", err)
			w.dropSubscription(ctx, q)
		}
		w.finish(dropped...)
		return
	}
	w.queues.succeeded(q)
	switch {
	case err == nil:
		w.accepted.Add(1)
	case errors.Is(err, webpush.ErrGone):
		w.dropSubscription(ctx, q)
	default:
		w.log.WarnContext(ctx, "a notification could not be sent", "error", err)
	}
	w.finish(d)
}

func (w *worker) dropSubscription(ctx context.Context, q *deviceQueue) {
	if err := w.Store.DropSubscription(context.WithoutCancel(ctx), q.endpoint); err != nil {
		w.log.ErrorContext(ctx, "a subscription could not be dropped", "service", q.host, "error", err)
	}
}

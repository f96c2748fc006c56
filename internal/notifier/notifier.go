// Package notifier notifies users who are offline: it consumes jobs from the queue
// of package notifyqueue, waits for a delay, and sends notifications that are still
// relevant to the devices that subscribed (docs/decisions/0007-push.md).
//
// What one member has missed of one conversation within the delay becomes one
// notification. It is dropped when the member has read it meanwhile, has left the
// conversation, or has come online. Notifications are sent at least once. They are
// lost when a push service accepts none for long, or when the process dies together
// with the broker; and so are those that wait for a device or a user when the
// process ends.
//
// Endpoints are not trusted, so no device and no user may delay the others: each
// device has a queue of its own, which is paused while its service accepts nothing
// (type deviceQueues).
package notifier

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// Store is the part of the store that a [Notifier] needs.
type Store interface {
	Subscriptions(ctx context.Context, users []chat.UserID) ([]store.Subscription, error)
	DropSubscription(ctx context.Context, endpoint string) error
	NotificationStates(ctx context.Context, keys []store.MemberKey) (map[store.MemberKey]store.NotificationState, error)
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) ([]chat.Message, error)
	// Secret is the HMAC key of the topics that push services see.
	Secret() []byte
}

// Locator finds the nodes that users' devices are connected to.
type Locator interface {
	NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error)
}

// Sender sends a notification to one device; see [webpush.Sender].
type Sender interface {
	Send(ctx context.Context, to webpush.Subscription, n webpush.Notification) error
}

// Config has the dependencies of a [Notifier] and its bounds.
type Config struct {
	Store   Store
	Locator Locator
	Sender  Sender
	Logger  *slog.Logger

	Delay       time.Duration // from a message to its notification; 0 means 5 s
	TTL         time.Duration // how long a notification is relevant; 0 means a day
	GiveUpAfter time.Duration // how long a notification is tried; 0 means 10 min
	MaxInFlight int           // sends at the same time; 0 means 64. At most half of them are to one service, a 16th to one user
	MaxPending  int           // notifications that wait for their delay; 0 means 50,000
	MaxQueued   int           // notifications to be sent; 0 means 4,096. At most half of them are for paused devices, a 32nd for one user

	// After is time.After when nil. Tests replace it.
	After func(time.Duration) <-chan time.Time
}

// Validate sets the defaults. It returns an error when something is missing or
// negative.
func (c *Config) Validate() error {
	if c.Store == nil || c.Locator == nil || c.Sender == nil {
		return errors.New("a notifier needs a store, a locator and a sender")
	}
	if c.Delay < 0 || c.TTL < 0 || c.GiveUpAfter < 0 || c.MaxInFlight < 0 || c.MaxPending < 0 || c.MaxQueued < 0 {
		return errors.New("a notifier's times and bounds must not be negative")
	}
	c.Delay = cmp.Or(c.Delay, 5*time.Second)
	c.TTL = min(cmp.Or(c.TTL, 24*time.Hour), webpush.MaxTTL)
	c.GiveUpAfter = cmp.Or(c.GiveUpAfter, 10*time.Minute)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 64)
	c.MaxPending = cmp.Or(c.MaxPending, 50_000)
	c.MaxQueued = cmp.Or(c.MaxQueued, 4096)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.After == nil {
		c.After = time.After
	}
	return nil
}

// Notifier notifies users who are offline. See [New].
type Notifier struct{ cfg Config }

// New returns a notifier, which does nothing before [Notifier.Run].
func New(cfg Config) (*Notifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Notifier{cfg: cfg}, nil
}

// Run notifies until ctx ends, or queue.Consume returns, whose error it returns.
// Sends that have begun are finished first. The remaining jobs are not acknowledged,
// so the queue redelivers them if it outlives the process.
func (n *Notifier) Run(ctx context.Context, queue notifyqueue.Consumer) error {
	w := &worker{
		Config: n.cfg, log: n.cfg.Logger, pending: newPendingNotifications(n.cfg.MaxPending),
		slots: make(chan struct{}, n.cfg.MaxQueued), queues: newDeviceQueues(n.cfg.MaxQueued),
		userSemaphore: newKeyedSemaphore[chat.UserID](n.cfg.MaxInFlight / 16), hostSemaphore: newKeyedSemaphore[string](n.cfg.MaxInFlight / 2), globalSemaphore: newKeyedSemaphore[struct{}](n.cfg.MaxInFlight),
	}
	// The consumer ends last, so that what was sent can be acknowledged.
	consuming, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	consumed := make(chan error, 1)
	go func() { consumed <- queue.Consume(consuming, w.receive) }()
	working, halt := context.WithCancel(ctx)
	defer halt()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		w.dispatchLoop(working)
		w.senders.Wait()
	}()
	select {
	case <-worked:
		stop()
		return <-consumed
	case err := <-consumed:
		halt()
		<-worked
		return err
	}
}

// worker is one call of [Notifier.Run].
type worker struct {
	Config
	log             *slog.Logger
	pending         *pendingNotifications
	slots           chan struct{} // holds one for each notification that is queued or being sent
	queues          *deviceQueues
	userSemaphore   *keyedSemaphore[chat.UserID]
	hostSemaphore   *keyedSemaphore[string]
	globalSemaphore *keyedSemaphore[struct{}]
	accepted        atomic.Int64 // notifications that services have accepted
	senders         sync.WaitGroup
}

// receive adds the jobs of a delivery. It is the [notifyqueue.Handler], and waits
// while too many notifications are pending.
func (w *worker) receive(ctx context.Context, d notifyqueue.Delivery) {
	for w.pending.full() {
		if !w.pending.room.Wait(ctx) {
			return // not acknowledged: the queue redelivers it
		}
	}
	w.pending.add(d, time.Now().Add(-w.TTL))
}

// maxResolve is how many pending notifications are resolved together.
const maxResolve = 256

// dispatchLoop dispatches pending notifications after their delay, until ctx ends.
func (w *worker) dispatchLoop(ctx context.Context) {
	for ctx.Err() == nil {
		due, ok := w.pending.nextDue(w.Delay)
		if !ok {
			if !w.pending.ready.Wait(ctx) {
				return
			}
			continue
		}
		if wait := time.Until(due); wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-w.After(wait):
			}
		}
		if !w.dispatch(ctx, w.pending.pop(due, w.Delay, maxResolve)) {
			return
		}
	}
}

// dispatch resolves pending notifications and queues them by device. It reports
// false when ctx has ended.
func (w *worker) dispatch(ctx context.Context, batch []*pendingNotification) bool {
	resolved, err := w.resolveWithRetry(ctx, batch)
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		w.log.ErrorContext(ctx, "users could not be notified", "notifications", len(batch), "error", err)
	}
	for _, d := range resolved {
		d.pending.unfinished++
	}
	for _, n := range batch {
		if n.unfinished == 0 {
			w.pending.finish(n)
		}
	}
	for _, d := range resolved {
		select {
		case <-ctx.Done():
			return false
		case w.slots <- struct{}{}:
		}
		w.enqueue(ctx, d)
	}
	return true
}

const (
	minStoreRetry = time.Second
	maxStoreRetry = time.Minute
)

// resolveWithRetry repeats resolve while the store is unavailable, for GiveUpAfter
// at most.
func (w *worker) resolveWithRetry(ctx context.Context, batch []*pendingNotification) ([]*deviceNotification, error) {
	began, retry := time.Now(), backoff.Backoff{InitialInterval: minStoreRetry, MaxInterval: maxStoreRetry}
	for {
		resolved, err := w.resolve(ctx, batch)
		if err == nil || !errors.Is(err, store.ErrUnavailable) || time.Since(began) > w.GiveUpAfter {
			return resolved, err
		}
		wait := retry.Next()
		w.log.WarnContext(ctx, "the store is unavailable; users are notified later", "after", wait, "error", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.After(wait):
		}
	}
}

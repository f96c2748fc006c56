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
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// Store is the part of the store that a [Notifier] needs.
type Store interface {
	Subscriptions(ctx context.Context, users []chat.UserID) ([]store.Subscription, error)
	DropSubscription(ctx context.Context, endpoint string) error
	NotificationStates(ctx context.Context, keys []store.MemberKey) (map[store.MemberKey]store.NotificationState, error)
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) (store.HistoryPage, error)
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

	Delay       time.Duration // from a message to its notification, 1 ms to 10 min; default 5 s
	TTL         time.Duration // how long a notification is relevant, 1 ms to [webpush.MaxTTL]; default a day
	GiveUpAfter time.Duration // how long a notification is tried, from 1 ms; default 10 min
	MaxInFlight int           // sends at the same time, at most half of them to one service, a 16th to one user, from 1; default 64
	MaxPending  int           // notifications that wait for their delay, from 1; default 50,000
	MaxQueued   int           // notifications to be sent, at most half of them for paused devices, a 32nd for one user, from 1; default 4,096

	// After is time.After when nil. Tests replace it.
	After func(time.Duration) <-chan time.Time
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	c.Delay = cmp.Or(c.Delay, 5*time.Second)
	c.TTL = cmp.Or(c.TTL, 24*time.Hour)
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
	return c
}

// Validate returns the first error of a time or a bound; a zero is one. The
// ports are checked by New, so that an operator's settings can be validated
// before anything is opened.
func (c Config) Validate() error {
	return cmp.Or(
		// What waits is not acknowledged, which RabbitMQ bears for half an hour.
		setting.Between("push-delay", c.Delay, time.Millisecond, 10*time.Minute, "the time before a notification, such as 5s"),
		setting.Between("push-ttl", c.TTL, time.Millisecond, webpush.MaxTTL, "the time that a notification is relevant, such as 24h"),
		setting.Between("push-give-up-after", c.GiveUpAfter, time.Millisecond, math.MaxInt64, "the time that a notification is tried, such as 10m"),
		setting.Between("push-max-in-flight", c.MaxInFlight, 1, math.MaxInt32, "sends at the same time, such as 64"),
		setting.Between("push-max-pending", c.MaxPending, 1, math.MaxInt32, "notifications that wait for their delay, such as 50000"),
		setting.Between("push-max-queued", c.MaxQueued, 1, math.MaxInt32, "notifications to be sent, such as 4096"),
	)
}

// Notifier notifies users who are offline. See [New].
type Notifier struct{ cfg Config }

// New returns a notifier, which does nothing before [Notifier.Run].
func New(cfg Config) (*Notifier, error) {
	if cfg.Store == nil || cfg.Locator == nil || cfg.Sender == nil {
		return nil, errors.New("a notifier needs a store, a locator and a sender")
	}
	cfg = cfg.WithDefaults()
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

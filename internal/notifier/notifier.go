// Package notifier notifies people who are away: it takes jobs from the queue of
// package notifyqueue, waits a little, and sends what is still news to the devices
// that subscribed (docs/decisions/0007-push.md).
//
// What one member has missed of one conversation within the delay becomes one
// notification. It is dropped when the member has read it meanwhile, has left,
// or has a device now. Notifications are sent at least once; when a service
// takes none for long, or the process dies with the broker, they are lost, and
// so are those that wait for a device or a user when the process ends.
//
// Endpoints are anybody's, so nobody waits for what one device or one user
// does: each device has a line of its own, which rests when its service takes
// nothing (type lines).
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

// Store is what a pusher needs of the store.
type Store interface {
	Subscriptions(ctx context.Context, users []chat.UserID) ([]store.Subscription, error)
	DropSubscription(ctx context.Context, endpoint string) error
	NotificationStates(ctx context.Context, keys []store.MemberKey) (map[store.MemberKey]store.NotificationState, error)
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) ([]chat.Message, error)
	// Secret keys the topics that push services see.
	Secret() []byte
}

// Locator knows which nodes hold a user's devices.
type Locator interface {
	NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error)
}

// Sender sends to one device; see [webpush.Sender].
type Sender interface {
	Send(ctx context.Context, to webpush.Subscription, n webpush.Notification) error
}

// Config is what a pusher works with, and its bounds.
type Config struct {
	Store   Store
	Locator Locator
	Sender  Sender
	Logger  *slog.Logger

	Delay   time.Duration // from a message to its notification; 0 means 5 s
	TTL     time.Duration // how long a notification is worth anything; 0 means a day
	GiveUpAfter  time.Duration // how long sending one may take, with all repetitions; 0 means 10 min
	MaxInFlight  int           // notifications on their way; 0 means 64, half of them to one service, a 16th to one user
	MaxPending int           // notifications that wait for their delay; 0 means 50,000
	MaxQueued    int           // those to be sent, half of them to devices that rest, a 32nd to one user; 0 means 4,096

	// After is time.After when nil; tests do not wait.
	After func(time.Duration) <-chan time.Time
}

// Validate fills in the defaults and tells what is missing.
func (c *Config) Validate() error {
	if c.Store == nil || c.Locator == nil || c.Sender == nil {
		return errors.New("a pusher needs a store, a locator and a sender")
	}
	if c.Delay < 0 || c.TTL < 0 || c.GiveUpAfter < 0 || c.MaxInFlight < 0 || c.MaxPending < 0 || c.MaxQueued < 0 {
		return errors.New("a pusher's times and bounds must not be negative")
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

// Notifier notifies. See [New].
type Notifier struct{ cfg Config }

// New makes a pusher.
func New(cfg Config) (*Notifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Notifier{cfg: cfg}, nil
}

// Run works until ctx ends, or the consumer does. Sends that have begun are
// finished first; the rest comes again, here or elsewhere, if the queue lives
// on.
func (p *Notifier) Run(ctx context.Context, queue notifyqueue.Consumer) error {
	r := &worker{
		Config: p.cfg, log: p.cfg.Logger, pending: newPendingNotifications(p.cfg.MaxPending),
		slots: make(chan struct{}, p.cfg.MaxQueued), queues: newDeviceQueues(p.cfg.MaxQueued),
		userSemaphore: newKeyedSemaphore[chat.UserID](p.cfg.MaxInFlight / 16), hostSemaphore: newKeyedSemaphore[string](p.cfg.MaxInFlight / 2), globalSemaphore: newKeyedSemaphore[struct{}](p.cfg.MaxInFlight),
	}
	// The consumer outlives the work, so that what was sent is acknowledged.
	consuming, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	consumed := make(chan error, 1)
	go func() { consumed <- queue.Consume(consuming, r.receive) }()
	working, halt := context.WithCancel(ctx)
	defer halt()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		r.dispatchLoop(working)
		r.senders.Wait()
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

// worker is a pusher at work.
type worker struct {
	Config
	log     *slog.Logger
	pending   *pendingNotifications
	slots    chan struct{} // holds one for each parcel that is in a line or on its way
	queues   *deviceQueues
	userSemaphore *keyedSemaphore[chat.UserID]
	hostSemaphore *keyedSemaphore[string]
	globalSemaphore   *keyedSemaphore[struct{}]
	accepted   atomic.Int64 // notifications that services have taken
	senders sync.WaitGroup
}

// receive gathers what a delivery tells of.
func (r *worker) receive(ctx context.Context, d notifyqueue.Delivery) {
	for r.pending.full() {
		if !r.pending.room.Wait(ctx) {
			return // not done: it comes again
		}
	}
	r.pending.add(d, time.Now().Add(-r.TTL))
}

// maxResolve is how many notes are looked up together.
const maxResolve = 256

// dispatchLoop sends notes as their delay is over, until ctx ends.
func (r *worker) dispatchLoop(ctx context.Context) {
	for ctx.Err() == nil {
		due, ok := r.pending.nextDue(r.Delay)
		if !ok {
			if !r.pending.ready.Wait(ctx) {
				return
			}
			continue
		}
		if wait := time.Until(due); wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-r.After(wait):
			}
		}
		if !r.dispatch(ctx, r.pending.pop(due, r.Delay, maxResolve)) {
			return
		}
	}
}

// dispatch begins to send notes; false when ctx has ended.
func (r *worker) dispatch(ctx context.Context, batch []*pendingNotification) bool {
	parcels, err := r.resolveWithRetry(ctx, batch)
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		r.log.ErrorContext(ctx, "people could not be notified", "notifications", len(batch), "error", err)
	}
	for _, p := range parcels {
		p.pending.unfinished++
	}
	for _, n := range batch {
		if n.unfinished == 0 {
			r.pending.finish(n)
		}
	}
	for _, p := range parcels {
		select {
		case <-ctx.Done():
			return false
		case r.slots <- struct{}{}:
		}
		r.enqueue(ctx, p)
	}
	return true
}

const (
	minStoreRetry = time.Second
	maxStoreRetry  = time.Minute
)

// resolveWithRetry is look, again and again while the store is away.
func (r *worker) resolveWithRetry(ctx context.Context, batch []*pendingNotification) ([]*deviceNotification, error) {
	began, retry := time.Now(), backoff.Backoff{InitialInterval: minStoreRetry, MaxInterval: maxStoreRetry}
	for {
		parcels, err := r.resolve(ctx, batch)
		if err == nil || !errors.Is(err, store.ErrUnavailable) || time.Since(began) > r.GiveUpAfter {
			return parcels, err
		}
		wait := retry.Next()
		r.log.WarnContext(ctx, "the store is away; people are notified later", "after", wait, "error", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.After(wait):
		}
	}
}

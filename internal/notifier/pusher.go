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

	Delay   time.Duration // from a message to its notification, 1 ms to 10 min; default 5 s
	TTL     time.Duration // how long a notification is worth anything, 1 ms to [webpush.MaxTTL]; default a day
	GiveUp  time.Duration // how long sending one may take, with all repetitions, from 1 ms; default 10 min
	AtOnce  int           // notifications on their way, half of them to one service, a 16th to one user, from 1; default 64
	Waiting int           // notifications that wait for their delay, from 1; default 50,000
	Open    int           // those to be sent, half of them to devices that rest, a 32nd to one user, from 1; default 4,096

	// After is time.After when nil; tests do not wait.
	After func(time.Duration) <-chan time.Time
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	c.Delay = cmp.Or(c.Delay, 5*time.Second)
	c.TTL = cmp.Or(c.TTL, 24*time.Hour)
	c.GiveUp = cmp.Or(c.GiveUp, 10*time.Minute)
	c.AtOnce = cmp.Or(c.AtOnce, 64)
	c.Waiting = cmp.Or(c.Waiting, 50_000)
	c.Open = cmp.Or(c.Open, 4096)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.After == nil {
		c.After = time.After
	}
	return c
}

// Validate returns the first error of a time or a bound; a zero is one. The
// ports are New's to check, so that an operator's settings can be judged before
// anything is opened.
func (c Config) Validate() error {
	return cmp.Or(
		// What waits is not acknowledged, which RabbitMQ bears for half an hour.
		setting.Between("push-delay", c.Delay, time.Millisecond, 10*time.Minute, "the time before a notification, such as 5s"),
		setting.Between("push-ttl", c.TTL, time.Millisecond, webpush.MaxTTL, "the time that a notification is worth anything, such as 24h"),
		setting.Between("push-give-up", c.GiveUp, time.Millisecond, math.MaxInt64, "the time that sending one may take, such as 10m"),
		setting.Between("push-at-once", c.AtOnce, 1, math.MaxInt32, "notifications on their way, such as 64"),
		setting.Between("push-waiting", c.Waiting, 1, math.MaxInt32, "notifications that wait for their delay, such as 50000"),
		setting.Between("push-open", c.Open, 1, math.MaxInt32, "notifications to be sent, such as 4096"),
	)
}

// Notifier notifies. See [New].
type Notifier struct{ cfg Config }

// New makes a pusher.
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

// Run works until ctx ends, or the consumer does. Sends that have begun are
// finished first; the rest comes again, here or elsewhere, if the queue lives
// on.
func (p *Notifier) Run(ctx context.Context, queue notifyqueue.Consumer) error {
	r := &run{
		Config: p.cfg, log: p.cfg.Logger, notes: newNotes(p.cfg.Waiting),
		open: make(chan struct{}, p.cfg.Open), lines: newLines(p.cfg.Open),
		perUser: newLanes[chat.UserID](p.cfg.AtOnce / 16), perHost: newLanes[string](p.cfg.AtOnce / 2), inAll: newLanes[struct{}](p.cfg.AtOnce),
	}
	// The consumer outlives the work, so that what was sent is acknowledged.
	consuming, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	consumed := make(chan error, 1)
	go func() { consumed <- queue.Consume(consuming, r.take) }()
	working, halt := context.WithCancel(ctx)
	defer halt()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		r.work(working)
		r.sending.Wait()
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

// run is a pusher at work.
type run struct {
	Config
	log     *slog.Logger
	notes   *notes
	open    chan struct{} // holds one for each parcel that is in a line or on its way
	lines   *lines
	perUser *lanes[chat.UserID]
	perHost *lanes[string]
	inAll   *lanes[struct{}]
	taken   atomic.Int64 // notifications that services have taken
	sending sync.WaitGroup
}

// take gathers what a delivery tells of.
func (r *run) take(ctx context.Context, d notifyqueue.Delivery) {
	for r.notes.full() {
		if !r.notes.room.Wait(ctx) {
			return // not done: it comes again
		}
	}
	r.notes.add(d, time.Now().Add(-r.TTL))
}

// atATime is how many notes are looked up together.
const atATime = 256

// work sends notes as their delay is over, until ctx ends.
func (r *run) work(ctx context.Context) {
	for ctx.Err() == nil {
		due, ok := r.notes.due(r.Delay)
		if !ok {
			if !r.notes.wake.Wait(ctx) {
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
		if !r.dispatch(ctx, r.notes.pop(due, r.Delay, atATime)) {
			return
		}
	}
}

// dispatch begins to send notes; false when ctx has ended.
func (r *run) dispatch(ctx context.Context, batch []*note) bool {
	parcels, err := r.lookUp(ctx, batch)
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		r.log.ErrorContext(ctx, "people could not be notified", "notifications", len(batch), "error", err)
	}
	for _, p := range parcels {
		p.note.parcels++
	}
	for _, n := range batch {
		if n.parcels == 0 {
			r.notes.finish(n)
		}
	}
	for _, p := range parcels {
		select {
		case <-ctx.Done():
			return false
		case r.open <- struct{}{}:
		}
		r.put(ctx, p)
	}
	return true
}

const (
	firstWait = time.Second
	lastWait  = time.Minute
)

// lookUp is look, again and again while the store is away.
func (r *run) lookUp(ctx context.Context, batch []*note) ([]*parcel, error) {
	began, retry := time.Now(), backoff.Backoff{InitialInterval: firstWait, MaxInterval: lastWait}
	for {
		parcels, err := r.look(ctx, batch)
		if err == nil || !errors.Is(err, store.ErrUnavailable) || time.Since(began) > r.GiveUp {
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

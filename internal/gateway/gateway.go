package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/linger"
	"github.com/hikyaku-chat/hikyaku/internal/origin"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Config has the settings of a gateway. Zero values mean the defaults.
type Config struct {
	Node               string        // name of this gateway on the bus; must be unique in the installation
	Version            string        // sent to clients
	Origins            []string      // allowed origins of pages, besides the server's own
	Heartbeat          time.Duration // interval of an active client's pings, 100 ms to 1 min; default 3 s, so that it is within 5 s whole again after an interruption
	MaxHeartbeat       time.Duration // interval of a quiet client's pings, from Heartbeat to 1 min; default 30 s
	CheckInterval      time.Duration // how often a device is compared with the store without a reason, 100 ms to 1 h; default 3 min
	IdleTimeout        time.Duration // a connection without a frame from its client for so long is closed, 1 s to 1 h; default 90 s, because browsers run timers of background pages once a minute
	PerSecond          float64       // messages per second of one user, as told to clients, 0.001 to 1e6; default 20
	Burst              int           // messages of one user at once, as told to clients, 1 to 1e6; default 60
	InFlight           int           // unanswered sends of one connection, 1 to 1e6; default 128
	ConnectionsPerUser int           // connections of one user, 1 to 1e6; default 50
	WatchUsers         int           // users whose presence one connection watches, 1 to 1e6; default 500
	MaxQueued          int           // bytes queued for one connection, 1 KiB to 1 GiB; default 1 MiB
	WriteTimeout       time.Duration // a connection that accepts no data for so long is closed, 1 ms to 1 h; default 10 s
	AwayGrace          time.Duration // how long a user stays online after a connection has closed, 1 ms to 1 h; default 3 s
	GoodbyeSpread      time.Duration // clients reconnect at random times within it after a goodbye, 1 ms to 1 h; default 5 s
	Standalone         bool          // there is no other gateway that clients could connect to
	MaxFrame           int           // bytes of a client's frame, 1 KiB to 1 GiB; default 128 KiB
	Linger             time.Duration // how long what clients send, and its acceptance, waits for company at most (see package linger), to 100 ms; 0 for not at all
	PresenceBatchDelay time.Duration // presence changes are collected for so long before they are sent, 1 ms to 1 min; default 250 ms
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.Heartbeat = cmp.Or(c.Heartbeat, 3*time.Second)
	c.MaxHeartbeat = cmp.Or(c.MaxHeartbeat, max(30*time.Second, c.Heartbeat))
	c.CheckInterval = cmp.Or(c.CheckInterval, 3*time.Minute)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 90*time.Second)
	c.PerSecond = cmp.Or(c.PerSecond, 20)
	c.Burst = cmp.Or(c.Burst, 60)
	c.InFlight = cmp.Or(c.InFlight, 128)
	c.ConnectionsPerUser = cmp.Or(c.ConnectionsPerUser, 50)
	c.WatchUsers = cmp.Or(c.WatchUsers, 500)
	c.MaxQueued = cmp.Or(c.MaxQueued, 1<<20)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.AwayGrace = cmp.Or(c.AwayGrace, 3*time.Second)
	c.GoodbyeSpread = cmp.Or(c.GoodbyeSpread, 5*time.Second)
	c.MaxFrame = cmp.Or(c.MaxFrame, 128<<10)
	c.PresenceBatchDelay = cmp.Or(c.PresenceBatchDelay, 250*time.Millisecond)
	return c
}

// Validate returns the first error of a field with which the gateway would serve
// nobody, or would silently use another value. A zero is an error.
func (c Config) Validate() error {
	return cmp.Or(
		setting.Between("rate", c.PerSecond, 0.001, 1e6, "messages per second, such as 20"), // rate limiters count in whole microseconds
		setting.Between("burst", c.Burst, 1, 1e6, "messages at once, such as 60"),
		setting.Between("in-flight", c.InFlight, 1, 1e6, "unanswered messages of one connection, such as 128"),
		setting.Between("connections", c.ConnectionsPerUser, 1, 1e6, "connections of one user, such as 50"),
		setting.Between("heartbeat", c.Heartbeat, 100*time.Millisecond, time.Minute, "the time between heartbeats, such as 3s"), // less than the default of IdleTimeout
		setting.Between("max-heartbeat", c.MaxHeartbeat, c.Heartbeat, time.Minute, "the time between heartbeats of a quiet client, such as 30s"),
		setting.Between("check-interval", c.CheckInterval, 100*time.Millisecond, time.Hour, "how often a device is compared with the database, such as 3m"),
		setting.Between("goodbye-spread", c.GoodbyeSpread, time.Millisecond, time.Hour, "the time over which clients go elsewhere, such as 5s"),
		setting.Between("idle-timeout", c.IdleTimeout, time.Second, time.Hour, "the time after which an idle connection is closed, such as 90s"),
		setting.Between("watch-users", c.WatchUsers, 1, 1e6, "users that one connection may watch, such as 500"),
		setting.Between("max-queued", c.MaxQueued, 1<<10, 1<<30, "bytes queued for one connection, such as 1048576"),
		setting.Between("write-timeout", c.WriteTimeout, time.Millisecond, time.Hour, "the time after which a connection that accepts no data is closed, such as 10s"),
		setting.Between("away-grace", c.AwayGrace, time.Millisecond, time.Hour, "the time that a user stays online after a connection has closed, such as 3s"),
		setting.Between("max-frame", c.MaxFrame, 1<<10, 1<<30, "bytes of a client's frame, such as 131072"),
		setting.Between("linger", c.Linger, 0, linger.Max, "how long messages may wait for company, such as 4ms"),
		setting.Between("presence-batch-delay", c.PresenceBatchDelay, time.Millisecond, time.Minute, "the time for which presence changes are collected, such as 250ms"),
	)
}

// Store is what the gateway needs of the store.
type Store interface {
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	SetLastSeen(ctx context.Context, id chat.UserID, at time.Time) error
	EndedSessions(ctx context.Context, ids []chat.SessionID) ([]chat.SessionID, error)
	MemberIDs(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error)
	ShareConversation(ctx context.Context, pairs []store.UserPair) ([]bool, error)
	Mark(ctx context.Context, id chat.ConversationID, by chat.UserID, read, received int64) (chat.Membership, bool, error)
	store.Feed
	Epoch() (epoch string, changed <-chan struct{})
}

// Announcer sends changes to users that did not go through the broker; see
// package fanout.
type Announcer interface {
	Typing(ctx context.Context, audience chat.Audience, user chat.UserID)
	Marked(ctx context.Context, m chat.Membership)
	PresenceChanged(ctx context.Context, s presence.State)
}

// Authenticator finds the session of a request; see package auth.
type Authenticator interface {
	Authenticate(r *http.Request) (store.Session, chat.User, error)
}

// Dependencies are the services that a gateway uses.
type Dependencies struct {
	Auth      Authenticator
	Store     Store
	Publisher broker.Publisher
	Presence  presence.Presence
	Bus       pubsub.Bus
	Announcer Announcer
	Cursors   *cursor.Sealer
	// SendLimiter limits the messages of each user over all ways of sending. Its
	// rate is that of Config.PerSecond and Config.Burst.
	SendLimiter submission.Limiter
	// Refuser is shared by all ways of sending.
	Refuser *submission.Refuser
	// Idempotency is nil with a broker that confirms only what the store has
	// accepted.
	Idempotency *submission.IdempotencyCache
	Logger      *slog.Logger
}

// Gateway serves WebSocket connections. See [New].
type Gateway struct {
	cfg         Config
	deps        Dependencies
	log         *slog.Logger
	origins     *origin.Policy
	sockets     *websocket.Server
	hub         *hub
	members     *memberCache
	departures  *departures
	watches     *watches
	heartbeats  *heartbeats
	marks       *marks
	submissions *submission.Service
	costs       *costs

	lastDevice  atomic.Int64 // device number of the newest connection
	inFlight    atomic.Int64 // unanswered sends of all connections
	draining    atomic.Bool
	interrupted atomic.Bool     // the bus is interrupted
	resyncs     batching.Signal // all clients must sync

	ctx         context.Context // canceled when the gateway has stopped
	cancel      context.CancelFunc
	drainCtx    context.Context // canceled when a stop accepts no more sends: clients had the time to reconnect elsewhere
	endDrain    context.CancelFunc
	background  background
	unsubscribe func()
	stopOnce    sync.Once
	stopErr     error
}

// New starts a gateway. It is subscribed to the bus when New returns. The
// caller must call Stop.
func New(ctx context.Context, cfg Config, parts Dependencies) (*Gateway, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	origins, err := origin.New(cfg.Origins, parts.Logger)
	if err != nil {
		return nil, err
	}
	costs, err := newCosts(cfg)
	if err != nil {
		return nil, err
	}
	sockets, err := websocket.NewServer(websocket.Config{
		MaxMessage:   cfg.MaxFrame,
		MaxQueued:    cfg.MaxQueued,
		WriteTimeout: cfg.WriteTimeout,
		IdleTimeout:  cfg.IdleTimeout,
		Subprotocol:  wire.Subprotocol,
		Linger:       linger.New(cfg.Linger),
		Shedding:     func() bool { return parts.Publisher.Refusing() != nil },
	})
	if err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, deps: parts, log: parts.Logger.With("node", cfg.Node), origins: origins, sockets: sockets, hub: newHub(), costs: costs, resyncs: batching.NewSignal()}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.drainCtx, g.endDrain = context.WithCancel(g.ctx)
	g.members, g.departures = newMemberCache(g), newDepartures()
	g.watches = newWatches(g)
	g.heartbeats = newHeartbeats(g)
	g.marks = newMarks(g)
	g.submissions = newSubmissions(g)
	g.background.Go(g.heartbeats.run)
	g.background.Go(g.resyncAll)
	g.background.Go(g.marks.run)
	g.background.Go(g.marks.retry)
	g.background.Go(g.watches.run)
	g.background.Go(g.watches.lookUpAll)
	g.background.Go(g.checkSessions)
	_, epochChanged := parts.Store.Epoch() // before the first connection
	g.background.Go(func() { g.watchEpoch(epochChanged) })
	g.unsubscribe, err = parts.Bus.Subscribe(ctx, cfg.Node, (*subscriber)(g))
	if err != nil {
		g.cancel()
		g.background.Wait()
		return nil, errors.Join(err, sockets.Close(ctx))
	}
	return g, nil
}

// Resync asks the clients of users to sync, or all clients when none are given,
// because frames for them may not have been sent to this gateway.
func (g *Gateway) Resync(users ...chat.UserID) {
	if len(users) == 0 {
		g.resyncs.Notify()
	}
	for _, user := range users {
		for _, s := range g.hub.sessionsOf(user) {
			s.resync()
		}
	}
}

// Connections returns the number of open connections.
func (g *Gateway) Connections() int { return g.hub.numSessions() }

// Reads returns how many pieces were read from clients, and how many frames ended
// in them. See [websocket.Server.Reads].
func (g *Gateway) Reads() (reads, frames uint64) { return g.sockets.Reads() }

// Writes returns how many times was written to clients, and how many frames. See
// [websocket.Server.Writes].
func (g *Gateway) Writes() (writes, frames uint64) { return g.sockets.Writes() }

// ServeHTTP upgrades a request to a WebSocket connection. To OPTIONS it answers
// whether a page of the request's origin may open one: browsers do not tell pages
// why an upgrade was refused.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.draining.Load() {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, chat.Refuse(chat.CodeUnavailable, "", "this gateway is stopping; connect again"))
		return
	}
	if refusal := g.origins.CheckSocket(r); refusal != nil {
		refuse(w, http.StatusForbidden, refusal)
		return
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", "GET, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	sess, user, err := g.deps.Auth.Authenticate(r)
	if err != nil {
		g.refuseLogin(w, r, err)
		return
	}
	s := newSession(g, user.ID, sess.ID)
	var wait time.Duration
	if s.budget, wait = g.costs.connect(user.ID, sess.ID); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		refuse(w, http.StatusTooManyRequests, chat.Refuse(chat.CodeRateLimited, "", "this device connects, or has sent, too much; connect again after %.0f s", math.Ceil(wait.Seconds())))
		return
	}
	if !g.hub.reserve(s, g.cfg.ConnectionsPerUser) {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusTooManyRequests, chat.Refuse(chat.CodeRateLimited, "", "this account has %d connections already", g.cfg.ConnectionsPerUser))
		return
	}
	defer g.hub.cancel(s)
	conn, err := g.sockets.Upgrade(w, r, s)
	if err != nil {
		var status interface{ StatusCode() int }
		if errors.As(err, &status) {
			refuse(w, status.StatusCode(), chat.Refuse(chat.CodeInvalid, "", "%s", err.Error()))
		}
		return
	}
	s.start(conn, user)
}

func (g *Gateway) refuseLogin(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *chat.Error
	if errors.As(err, &refusal) {
		status := http.StatusUnauthorized
		if refusal.Code == chat.CodeOtherAccount {
			status = http.StatusPreconditionFailed
		}
		refuse(w, status, refusal)
		return
	}
	g.log.ErrorContext(r.Context(), "a session could not be looked up", "error", err)
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, chat.Refuse(chat.CodeUnavailable, "", "the session cannot be looked up now"))
}

// Stop drains the gateway and stops it: it refuses new connections, asks clients
// to reconnect elsewhere and serves them until they had the time to, answers the
// sends in flight, and closes the connections. When ctx ends first, the rest is
// closed at once. It is idempotent.
func (g *Gateway) Stop(ctx context.Context) error {
	g.stopOnce.Do(func() { g.stopErr = g.stop(ctx) })
	return g.stopErr
}

func (g *Gateway) stop(ctx context.Context) error {
	g.draining.Store(true)
	g.hub.each(g.sayGoodbye)
	if !g.cfg.Standalone {
		g.drain(ctx)
	}
	g.endDrain()
	for g.inFlight.Load() > 0 && ctx.Err() == nil {
		sleep(ctx, 5*time.Millisecond)
	}
	err := g.sockets.Close(ctx)
	g.unsubscribe()
	g.cancel()
	g.background.Wait()
	return err
}

// sayGoodbye asks a client to connect again, at a random time.
func (g *Gateway) sayGoodbye(s *session) {
	after := rand.N(g.cfg.GoodbyeSpread + 1)
	s.push(wire.Goodbye{T: "goodbye", ReconnectAfterMS: after.Milliseconds()})
}

// drain waits until all clients have disconnected or their time to do so is
// over. It takes at most three quarters of the time left in ctx: the rest is for
// sends in flight.
func (g *Gateway) drain(ctx context.Context) {
	most := g.cfg.GoodbyeSpread + goodbyeGrace
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)*3/4)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for g.hub.numSessions() > 0 && ctx.Err() == nil {
		sleep(ctx, 20*time.Millisecond)
	}
}

// goodbyeGrace is how long the last client may take to reconnect after
// GoodbyeSpread.
const goodbyeGrace = time.Second

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

package gateway

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Config is what an operator may set. Zero values mean the defaults.
type Config struct {
	Node               string        // name of this gateway on the bus, unique in the installation
	Version            string        // told to clients
	Origins            []string      // origins of pages beside the server's own that may connect
	Heartbeat          time.Duration // time between a client's pings; default 3 s, so that a lost push is found within 5 s
	IdleTimeout        time.Duration // a silent connection is closed after it; default 90 s, because browsers wake pages in the background once a minute
	PerSecond          float64       // messages per second of one user; default 20
	Burst              int           // messages of one user at once; default 60
	InFlight           int           // sends of one connection without an answer; default 128
	ConnectionsPerUser int           // connections of one user; default 50
	WatchUsers         int           // people watched by one connection; default 500
	MaxQueued          int           // bytes waiting for one reader; default 1 MiB
	WriteTimeout       time.Duration // a reader that takes nothing for so long is cut off; default 10 s
	AwayGrace          time.Duration // how long a lost connection still counts as present; default 3 s
	GoodbyeSpread      time.Duration // clients go elsewhere over this time after a goodbye; default 5 s
	Standalone         bool          // there is no other gateway that clients could go to
	MaxFrame           int           // bytes of a client's frame; default 128 KiB
	PresenceBatchDelay time.Duration // presence changes are gathered for so long; default 250 ms
}

func (c Config) withDefaults() Config {
	c.Heartbeat = or(c.Heartbeat, 3*time.Second)
	c.IdleTimeout = or(c.IdleTimeout, 90*time.Second)
	c.PerSecond = or(c.PerSecond, 20)
	c.Burst = or(c.Burst, 60)
	c.InFlight = or(c.InFlight, 128)
	c.ConnectionsPerUser = or(c.ConnectionsPerUser, 50)
	c.WatchUsers = or(c.WatchUsers, 500)
	c.MaxQueued = or(c.MaxQueued, 1<<20)
	c.WriteTimeout = or(c.WriteTimeout, 10*time.Second)
	c.AwayGrace = or(c.AwayGrace, 3*time.Second)
	c.GoodbyeSpread = or(c.GoodbyeSpread, 5*time.Second)
	c.MaxFrame = or(c.MaxFrame, 128<<10)
	c.PresenceBatchDelay = or(c.PresenceBatchDelay, 250*time.Millisecond)
	return c
}

func or[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}

// Store is what the gateway reads and writes without the broker.
type Store interface {
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	SetLastSeen(ctx context.Context, id chat.UserID, at time.Time) error
	SessionsOf(ctx context.Context, user chat.UserID) ([]store.Session, error)
	MemberIDs(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error)
	SharesConversation(ctx context.Context, user chat.UserID, others []chat.UserID) ([]chat.UserID, error)
	Mark(ctx context.Context, id chat.ConversationID, by chat.UserID, read, received int64) (chat.Membership, bool, error)
	store.Feed
}

// Announcer is how the gateway tells people what did not go through the
// broker; see package fanout.
type Announcer interface {
	Typing(ctx context.Context, audience chat.Audience, user chat.UserID)
	Marked(ctx context.Context, m chat.Membership)
	PresenceChanged(ctx context.Context, s presence.State)
}

// Authenticator finds the session of a request; see package auth.
type Authenticator interface {
	Authenticate(r *http.Request) (store.Session, chat.User, error)
}

// Dependencies are what the gateway works with.
type Dependencies struct {
	Auth      Authenticator
	Store     Store
	Publisher broker.Publisher
	Presence  presence.Presence
	Bus       pubsub.Bus
	Announcer Announcer
	Cursors   *cursor.Sealer
	// Messages is where names of messages are looked up before they are accepted.
	// It is nil with a broker that knows the verdict before it confirms.
	Messages MessageFinder
	Logger   *slog.Logger
}

// Gateway serves sockets. See [New].
type Gateway struct {
	cfg         Config
	deps        Dependencies
	log         *slog.Logger
	sockets     *websocket.Server
	hub         *hub
	members     *memberCache
	watches     *watches
	heartbeats  *heartbeats
	marks       *marks
	idempotency *idempotencyCache // nil when the broker knows

	lastDevice atomic.Int64 // numbers given to sockets
	inFlight   atomic.Int64 // sends without an answer, on all sockets
	draining   atomic.Bool

	ctx         context.Context // ends when the gateway stops for good
	cancel      context.CancelFunc
	drainCtx    context.Context // ends when a stop takes no more sends: clients have had the time to go elsewhere
	endDrain    context.CancelFunc
	background  background
	unsubscribe func()
	stopOnce    sync.Once
	stopErr     error
}

// New starts a gateway: it is on the bus when New returns. Stop ends it.
func New(ctx context.Context, cfg Config, parts Dependencies) (*Gateway, error) {
	cfg = cfg.withDefaults()
	sockets, err := websocket.NewServer(websocket.Config{
		MaxMessage:   cfg.MaxFrame,
		MaxQueued:    cfg.MaxQueued,
		WriteTimeout: cfg.WriteTimeout,
		IdleTimeout:  cfg.IdleTimeout,
		Subprotocol:  wire.Subprotocol,
	})
	if err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, deps: parts, log: parts.Logger.With("node", cfg.Node), sockets: sockets, hub: newHub()}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.drainCtx, g.endDrain = context.WithCancel(g.ctx)
	g.members = newMemberCache(g)
	g.watches = newWatches(g)
	g.heartbeats = newHeartbeats(g)
	g.marks = newMarks(g)
	if parts.Messages != nil {
		g.idempotency = newIdempotencyCache(g)
		g.background.Go(g.idempotency.run)
	}
	g.background.Go(g.heartbeats.run)
	g.background.Go(g.marks.run)
	g.background.Go(g.watches.run)
	g.background.Go(g.checkSessions)
	g.unsubscribe, err = parts.Bus.Subscribe(ctx, cfg.Node, (*subscriber)(g))
	if err != nil {
		g.cancel()
		g.background.Wait()
		return nil, errors.Join(err, sockets.Close(ctx))
	}
	return g, nil
}

// Connections is how many sockets are open.
func (g *Gateway) Connections() int { return g.hub.numSessions() }

// ServeHTTP upgrades a request to a socket.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.draining.Load() {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, chat.Refuse(chat.CodeUnavailable, "", "this gateway is stopping; connect again"))
		return
	}
	if !g.originAllowed(r) {
		refuse(w, http.StatusForbidden, chat.Refuse(chat.CodeForbidden, "", "pages of this origin may not connect"))
		return
	}
	sess, user, err := g.deps.Auth.Authenticate(r)
	if err != nil {
		g.refuseLogin(w, r, err)
		return
	}
	if g.hub.numSessionsOf(user.ID) >= g.cfg.ConnectionsPerUser {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusTooManyRequests, chat.Refuse(chat.CodeRateLimited, "", "this account has %d connections already", g.cfg.ConnectionsPerUser))
		return
	}
	s := newSession(g, user.ID, sess.ID)
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
		refuse(w, http.StatusUnauthorized, refusal)
		return
	}
	g.log.ErrorContext(r.Context(), "a session could not be looked up", "error", err)
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, chat.Refuse(chat.CodeUnavailable, "", "the session cannot be looked up now"))
}

// Stop drains: new connections are refused, clients are told to go elsewhere
// and served until they have had the time to, sends in flight are answered,
// then sockets close. When ctx ends first, the rest is cut off. It is
// idempotent.
func (g *Gateway) Stop(ctx context.Context) error {
	g.stopOnce.Do(func() { g.stopErr = g.stop(ctx) })
	return g.stopErr
}

func (g *Gateway) stop(ctx context.Context) error {
	g.draining.Store(true)
	g.hub.each(func(s *session) {
		after := rand.N(g.cfg.GoodbyeSpread + 1)
		s.push(wire.Goodbye{T: "goodbye", ReconnectAfterMS: after.Milliseconds()})
	})
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

// drain serves on until the clients have gone, or the time is over that they
// were given. Most of the time that a stop may take, at most: the rest is for
// what is still in flight.
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

// goodbyeGrace is for clients whose time to go has come, to go.
const goodbyeGrace = time.Second

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

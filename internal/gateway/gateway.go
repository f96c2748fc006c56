package gateway

import (
	"cmp"
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
	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Config is what an operator may set. Zero values mean the defaults; see
// [Config.Validate] for what the others may be.
type Config struct {
	Node           string        // name of this gateway on the bus, unique in the installation
	Version        string        // told to clients
	Origins        []string      // origins of pages beside the server's own that may connect
	Heartbeat      time.Duration // time between a client's pings, 100 ms to 1 min; default 3 s, so that a lost push is found within 5 s
	Idle           time.Duration // a silent connection is closed after it, 1 s to 1 h; default 90 s, because browsers wake pages in the background once a minute
	PerSecond      float64       // messages per second of one user, 0.001 to 1e6; default 20
	Burst          int           // messages of one user at once, 1 to 1e6; default 60
	InFlight       int           // sends of one connection without an answer, 1 to 1e6; default 128
	PerUser        int           // connections of one user, 1 to 1e6; default 50
	WatchUsers     int           // people watched by one connection, 1 to 1e6; default 500
	MaxQueued      int           // bytes waiting for one reader, 1 KiB to 1 GiB; default 1 MiB
	WriteTimeout   time.Duration // a reader that takes nothing for so long is cut off, 1 ms to 1 h; default 10 s
	AwayGrace      time.Duration // how long a lost connection still counts as present, 1 ms to 1 h; default 3 s
	GoodbyeSpread  time.Duration // clients go elsewhere over this time after a goodbye, 1 ms to 1 h; default 5 s
	Alone          bool          // there is no other gateway that clients could go to
	MaxFrame       int           // bytes of a client's frame, 1 KiB to 1 GiB; default 128 KiB
	PresenceSettle time.Duration // presence changes are gathered for so long, 1 ms to 1 min; default 250 ms
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.Heartbeat = cmp.Or(c.Heartbeat, 3*time.Second)
	c.Idle = cmp.Or(c.Idle, 90*time.Second)
	c.PerSecond = cmp.Or(c.PerSecond, 20)
	c.Burst = cmp.Or(c.Burst, 60)
	c.InFlight = cmp.Or(c.InFlight, 128)
	c.PerUser = cmp.Or(c.PerUser, 50)
	c.WatchUsers = cmp.Or(c.WatchUsers, 500)
	c.MaxQueued = cmp.Or(c.MaxQueued, 1<<20)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.AwayGrace = cmp.Or(c.AwayGrace, 3*time.Second)
	c.GoodbyeSpread = cmp.Or(c.GoodbyeSpread, 5*time.Second)
	c.MaxFrame = cmp.Or(c.MaxFrame, 128<<10)
	c.PresenceSettle = cmp.Or(c.PresenceSettle, 250*time.Millisecond)
	return c
}

// Validate returns the first error of a field with which the gateway would
// serve nobody, or would quietly go by another value. A zero is one.
func (c Config) Validate() error {
	return cmp.Or(
		setting.Between("rate", c.PerSecond, 0.001, 1e6, "messages per second, such as 20"), // limiters reckon in whole microseconds
		setting.Between("burst", c.Burst, 1, 1e6, "messages at once, such as 60"),
		setting.Between("in-flight", c.InFlight, 1, 1e6, "unanswered messages of one connection, such as 128"),
		setting.Between("connections", c.PerUser, 1, 1e6, "connections of one user, such as 50"),
		setting.Between("heartbeat", c.Heartbeat, 100*time.Millisecond, time.Minute, "the time between heartbeats, such as 3s"), // less than the default of Idle
		setting.Between("goodbye-spread", c.GoodbyeSpread, time.Millisecond, time.Hour, "the time over which clients go elsewhere, such as 5s"),
		setting.Between("idle", c.Idle, time.Second, time.Hour, "the time after which a silent connection is closed, such as 90s"),
		setting.Between("watch-users", c.WatchUsers, 1, 1e6, "people whom one connection may watch, such as 500"),
		setting.Between("max-queued", c.MaxQueued, 1<<10, 1<<30, "bytes that may wait for one reader, such as 1048576"),
		setting.Between("write-timeout", c.WriteTimeout, time.Millisecond, time.Hour, "the time after which a reader that takes nothing is cut off, such as 10s"),
		setting.Between("away-grace", c.AwayGrace, time.Millisecond, time.Hour, "the time that a lost connection counts as present, such as 3s"),
		setting.Between("max-frame", c.MaxFrame, 1<<10, 1<<30, "bytes of a client's frame, such as 131072"),
		setting.Between("presence-settle", c.PresenceSettle, time.Millisecond, time.Minute, "the time over which changes of presence are gathered, such as 250ms"),
	)
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

// Parts are what the gateway works with.
type Parts struct {
	Auth      Authenticator
	Store     Store
	Publisher broker.Publisher
	Presence  presence.Presence
	Bus       pubsub.Bus
	Announce  Announcer
	Cursors   *cursor.Sealer
	// Messages is where names of messages are looked up before they are accepted.
	// It is nil with a broker that knows the verdict before it confirms.
	Messages MessageFinder
	Logger   *slog.Logger
}

// Gateway serves sockets. See [New].
type Gateway struct {
	cfg     Config
	parts   Parts
	log     *slog.Logger
	sockets *websocket.Server
	hub     *hub
	rooms   *rooms
	watches *watches
	pulse   *pulse
	marks   *marks
	claims  *claims // nil when the broker knows

	devices  atomic.Int64 // numbers given to sockets
	inFlight atomic.Int64 // sends without an answer, on all sockets
	draining atomic.Bool

	ctx         context.Context // ends when the gateway stops for good
	cancel      context.CancelFunc
	lingering   context.Context // ends when a stop takes no more sends: clients have had the time to go elsewhere
	hurry       context.CancelFunc
	background  background
	unsubscribe func()
	stopOnce    sync.Once
	stopErr     error
}

// New starts a gateway: it is on the bus when New returns. Stop ends it.
func New(ctx context.Context, cfg Config, parts Parts) (*Gateway, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	sockets, err := websocket.NewServer(websocket.Config{
		MaxMessage:   cfg.MaxFrame,
		MaxQueued:    cfg.MaxQueued,
		WriteTimeout: cfg.WriteTimeout,
		IdleTimeout:  cfg.Idle,
		Subprotocol:  wire.Subprotocol,
	})
	if err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, parts: parts, log: parts.Logger.With("node", cfg.Node), sockets: sockets, hub: newHub()}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.lingering, g.hurry = context.WithCancel(g.ctx)
	g.rooms = newRooms(g)
	g.watches = newWatches(g)
	g.pulse = newPulse(g)
	g.marks = newMarks(g)
	if parts.Messages != nil {
		g.claims = newClaims(g)
		g.background.Go(g.claims.run)
	}
	g.background.Go(g.pulse.run)
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
func (g *Gateway) Connections() int { return g.hub.sessions() }

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
	sess, user, err := g.parts.Auth.Authenticate(r)
	if err != nil {
		g.refuseLogin(w, r, err)
		return
	}
	if g.hub.count(user.ID) >= g.cfg.PerUser {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusTooManyRequests, chat.Refuse(chat.CodeRateLimited, "", "this account has %d connections already", g.cfg.PerUser))
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
	if !g.cfg.Alone {
		g.linger(ctx)
	}
	g.hurry()
	for g.inFlight.Load() > 0 && ctx.Err() == nil {
		pause(ctx, 5*time.Millisecond)
	}
	err := g.sockets.Close(ctx)
	g.unsubscribe()
	g.cancel()
	g.background.Wait()
	return err
}

// linger serves on until the clients have gone, or the time is over that they
// were given. Most of the time that a stop may take, at most: the rest is for
// what is still in flight.
func (g *Gateway) linger(ctx context.Context) {
	most := g.cfg.GoodbyeSpread + goodbyeGrace
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)*3/4)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for g.hub.sessions() > 0 && ctx.Err() == nil {
		pause(ctx, 20*time.Millisecond)
	}
}

// goodbyeGrace is for clients whose time to go has come, to go.
const goodbyeGrace = time.Second

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

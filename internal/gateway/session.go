package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// spareBacklog is how many frames of one session may wait for its backlog
	// beside the sends that it may have in flight.
	spareBacklog = 128
	// otherFrames and otherBurst limit the frames of one connection that are
	// not sends, per second and at once.
	frameRate  = 50
	frameBurst = 200
	// callTimeout bounds a call to a part that the session waits for.
	callTimeout = 10 * time.Second
)

// session is one socket of a user. There may be 20,000 of them in a process,
// most of them idle, so what only busy ones need is made when it is needed.
type session struct {
	g            *Gateway
	user         chat.UserID
	id           chat.SessionID
	device       int64
	conn         *websocket.Conn
	sendLimiter  *rate.Limiter // shared by the user's sessions here; set by hub.add
	frameLimiter *rate.Limiter // of this session; used by the loop or the backlog, whichever runs

	inFlight atomic.Int32

	mu           sync.Mutex
	backlog      []inbound
	busy         bool // the backlog runs, or the session is not started
	closed       bool
	detached     bool // the device was taken off
	order        sendOrder
	lastArrival  int64         // number of the last frame
	watched      []chat.UserID // guarded by watches.mu
	typingSentAt time.Time     // of the last typing that was passed on; backlog only
}

// inbound is a frame from the client.
type inbound struct {
	item    any   // wire.Inbound, or the error of one that could not be read
	arrival int64 // its number on this connection
}

func newSession(g *Gateway, user chat.UserID, id chat.SessionID) *session {
	return &session{g: g, user: user, id: id, device: g.lastDevice.Add(1), busy: true}
}

func (s *session) presenceDevice() presence.Device {
	return presence.Device{User: s.user, Node: s.g.cfg.Node, ID: s.device}
}

// start says hello, makes the session reachable, and lets its frames in. What
// came before waits in the backlog, so hello is the first frame out and
// nothing that is stored after the client's first sync can miss the session.
func (s *session) start(conn *websocket.Conn, user chat.User) {
	g := s.g
	s.conn = conn
	s.push(wire.Hello{
		T: "hello", User: wire.UserOf(user), Session: s.id, Server: g.cfg.Version, Time: wire.MillisOf(time.Now()),
		Limits: wire.Limits{
			FrameBytes: g.cfg.MaxFrame, BodyBytes: chat.MaxBody, InFlight: g.cfg.InFlight,
			PerSecond: g.cfg.PerSecond, Burst: g.cfg.Burst, WatchUsers: g.cfg.WatchUsers,
			HeartbeatMS: g.cfg.Heartbeat.Milliseconds(), IdleMS: g.cfg.IdleTimeout.Milliseconds(),
		},
	})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	g.hub.add(s, func() *rate.Limiter { return rate.NewLimiter(rate.Limit(g.cfg.PerSecond), g.cfg.Burst) })
	s.mu.Unlock()
	g.background.Do(func() {
		s.attach()
		s.runBacklog()
	})
}

// attach makes the device known. One that was taken off before that came about
// is taken off once more: it would be looked for here for as long as the gateway
// lives.
func (s *session) attach() {
	ctx, cancel := context.WithTimeout(s.g.ctx, callTimeout)
	state, changed, err := s.g.deps.Presence.Attach(ctx, s.presenceDevice())
	cancel()
	switch {
	case err != nil:
		// Without it nothing would be routed here; the client comes back.
		s.g.log.Error("a device could not be announced", "user", s.user, "error", err)
		s.conn.Close(wire.CloseGoodbye, "try again")
	case changed:
		s.g.deps.Announcer.PresenceChanged(s.g.ctx, state)
	}
	s.mu.Lock()
	gone := s.detached
	s.mu.Unlock()
	if gone {
		s.detach()
	}
}

// Closed implements socket.Handler.
func (s *session) Closed(_ *websocket.Conn, _ error) {
	s.mu.Lock()
	s.closed = true
	s.backlog = nil
	s.mu.Unlock()
	s.g.hub.remove(s)
	s.g.watches.set(s, nil)
	if s.g.draining.Load() {
		s.g.background.Go(func() { // the stop waits for it
			sleep(s.g.drainCtx, s.g.cfg.AwayGrace)
			s.detach()
		})
		return
	}
	// A page that reloads is back within the grace and was never away.
	time.AfterFunc(s.g.cfg.AwayGrace, func() { s.g.background.Do(s.detach) })
}

func (s *session) detach() {
	if s.g.ctx.Err() != nil {
		return // the gateway has stopped; its devices went with it
	}
	s.mu.Lock()
	s.detached = true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	state, changed, err := s.g.deps.Presence.Detach(ctx, s.presenceDevice())
	if err != nil {
		s.g.log.Error("a device could not be taken off", "user", s.user, "error", err)
		return
	}
	if !changed {
		return
	}
	s.g.deps.Announcer.PresenceChanged(ctx, state)
	if state.Presence == chat.Offline {
		err := s.g.deps.Store.SetLastSeen(ctx, s.user, state.LastSeen)
		if err != nil && chat.CodeOf(err) != chat.CodeNotFound { // the account may be gone with its session
			s.g.log.Error("when a person left could not be kept", "user", s.user, "error", err)
		}
	}
}

// push encodes a frame and queues it.
func (s *session) push(frame any) { s.conn.Send(websocket.NewFrame(wire.Encode(frame))) }

func (s *session) sendError(id string, code chat.Code, text string) {
	s.push(wire.ErrorFrame{T: "error", ID: id, Code: string(code), Text: text})
}

// Message implements socket.Handler. It runs on the socket's loop and must not
// block.
func (s *session) Message(c *websocket.Conn, p []byte) {
	frame, err := wire.DecodeInbound(p)
	var item any = frame
	if err != nil {
		item = err
	} else if frame == nil {
		return // of a type to come
	}
	s.mu.Lock()
	s.lastArrival++
	in := inbound{item: item, arrival: s.lastArrival}
	if s.busy {
		room := len(s.backlog) < s.g.cfg.InFlight+spareBacklog
		if room {
			s.backlog = append(s.backlog, in)
		}
		s.mu.Unlock()
		if !room {
			s.overflow(in)
		}
		return
	}
	s.mu.Unlock()
	// Only this goroutine makes an idle session busy, so it is idle still.
	if s.handleInline(in) {
		return
	}
	s.mu.Lock()
	s.busy = true
	s.backlog = append(s.backlog, in)
	s.mu.Unlock()
	s.g.background.Go(s.runBacklog)
}

// overflow refuses a frame for which the backlog has no room.
func (s *session) overflow(in inbound) {
	const text = "too many frames are waiting"
	if f, ok := in.item.(*wire.Send); ok {
		s.rejectRetryable(f, in.arrival, chat.CodeOverloaded, text, 500*time.Millisecond)
		return
	}
	s.sendError("", chat.CodeRateLimited, text)
}

// handleInline handles what memory can answer, and reports whether it did.
func (s *session) handleInline(in inbound) bool {
	switch f := in.item.(type) {
	case *wire.Send:
		return s.sendInline(f, in.arrival)
	case *wire.Ping:
		if s.allowFrame() {
			s.g.heartbeats.add(s)
		}
		return true
	case *wire.Mark:
		if s.allowFrame() {
			s.g.marks.add(s.user, f)
		}
		return true
	case error:
		if s.allowFrame() {
			s.malformed(f)
		}
		return true
	}
	return false
}

func (s *session) malformed(err error) {
	var m *wire.MalformedError
	if errors.As(err, &m) {
		s.sendError(m.ID, "malformed", m.Text)
	}
}

// allowFrame charges a frame that is not a send to the connection's limit.
func (s *session) allowFrame() bool {
	if s.frameLimiter == nil {
		s.frameLimiter = rate.NewLimiter(frameRate, frameBurst)
	}
	if s.frameLimiter.Allow() {
		return true
	}
	s.sendError("", chat.CodeRateLimited, "too many frames; at most 50 a second")
	return false
}

// runBacklog handles waiting frames in order until there are none.
func (s *session) runBacklog() {
	for {
		s.mu.Lock()
		if len(s.backlog) == 0 {
			s.busy = false
			s.backlog = nil
			s.mu.Unlock()
			return
		}
		in := s.backlog[0]
		s.backlog = s.backlog[1:]
		s.mu.Unlock()
		if !s.handleInline(in) {
			ctx, cancel := context.WithTimeout(s.g.ctx, callTimeout)
			s.handle(ctx, in)
			cancel()
		}
	}
}

// handle does what may have to wait for another part.
func (s *session) handle(ctx context.Context, in inbound) {
	if f, ok := in.item.(*wire.Send); ok {
		s.sendWithLookup(ctx, f, in.arrival)
		return
	}
	if !s.allowFrame() {
		return
	}
	switch f := in.item.(type) {
	case *wire.Sync:
		s.sync(ctx, f)
	case *wire.Typing:
		s.typing(ctx, f)
	case *wire.Watch:
		s.g.watches.replace(ctx, s, f.Users)
	case *wire.Status:
		s.status(ctx, f)
	}
}

func (s *session) typing(ctx context.Context, f *wire.Typing) {
	// One a second is enough for every receiver; the rest is noise.
	now := time.Now()
	if now.Sub(s.typingSentAt) < time.Second {
		return
	}
	room, err := s.g.members.load(ctx, f.Conversation)
	if err != nil || !room.has(s.user) {
		return // nobody waits for an answer to typing
	}
	s.typingSentAt = now
	s.g.deps.Announcer.Typing(ctx, room.audience(f.Conversation), s.user)
}

func (s *session) status(ctx context.Context, f *wire.Status) {
	state, changed, err := s.g.deps.Presence.SetAway(ctx, s.presenceDevice(), f.Away)
	if err != nil {
		s.g.log.Error("a device's status could not be kept", "user", s.user, "error", err)
		return
	}
	if changed {
		s.g.deps.Announcer.PresenceChanged(ctx, state)
	}
}

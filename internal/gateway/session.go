package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// spareBacklog is how many frames the backlog of a session may hold besides
	// the sends that may be in flight.
	spareBacklog = 128
	// callTimeout limits each call to a backend that a session waits for.
	callTimeout = 10 * time.Second
)

// session is one connection of a user. There may be 20,000 of them in a process,
// most of them idle, so what only active ones need is allocated on first use.
//
// Fields that look as if they belonged elsewhere stand where they leave no gaps.
type session struct {
	g      *Gateway
	user   chat.UserID
	id     chat.SessionID
	device int64
	conn   *websocket.Conn
	// The event loop or the backlog uses these, never both at once.
	sender       *submission.Sender // from the first send on; mu must be held to set it, and to read it elsewhere
	typingSentAt time.Duration      // when typing was announced last, since costs.epoch; 0 for never
	budget       budget             // used by the reader

	heartbeat  heartbeat
	inFlight   atomic.Int32
	reserved   bool // it counts as a connection of its user, though it is not in the hub yet; guarded by hub.mu
	watchEnded bool // the connection has closed; guarded by watches.mu, as watch is

	mu          sync.Mutex
	started     bool // frames may be handled
	busy        bool // the backlog runs, or the session has not started
	closed      bool
	detached    bool // detach was called
	backlog     []inbound
	syncs       []pacedSync // those without an answer; they run while there are any
	order       sendOrder
	lastArrival int64       // number of the last frame from the client
	watch       *watchState // nil until the client watches somebody
}

// inbound is a frame from the client.
type inbound struct {
	item    any           // wire.Inbound, or the error of a frame that could not be decoded
	arrival int64         // its number on this connection
	paced   time.Duration // a sync is answered then at the earliest, since costs.epoch
}

func newSession(g *Gateway, user chat.UserID, id chat.SessionID) *session {
	return &session{g: g, user: user, id: id, device: g.lastDevice.Add(1), busy: true}
}

func (s *session) presenceDevice() presence.Device {
	return presence.Device{User: s.user, Node: s.g.cfg.Node, ID: s.device}
}

// start sends hello, registers the session, and handles the frames that are
// already in the backlog. So hello is the first frame to the client, and
// everything that is stored after the client's first sync reaches the session.
func (s *session) start(conn *websocket.Conn, user chat.User) {
	g := s.g
	s.conn = conn
	epoch, _ := g.deps.Store.Epoch()
	s.push(wire.Hello{
		T: "hello", User: wire.UserOf(user), Session: s.id, Server: g.cfg.Version, Time: wire.MillisOf(time.Now()), Epoch: epoch,
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
	s.started = true
	g.heartbeats.start(s)
	g.hub.add(s)
	s.mu.Unlock()
	if now, _ := g.deps.Store.Epoch(); now != epoch {
		s.conn.Close(wire.CloseGoodbye, newEpochReason) // watchEpoch may have passed it by
	}
	g.background.Do(func() {
		s.attach()
		s.runBacklog()
	})
}

// attach registers the device with presence. When detach was called meanwhile,
// it detaches the device once more: otherwise the device would stay registered
// for as long as the gateway runs.
func (s *session) attach() {
	ctx, cancel := context.WithTimeout(s.g.ctx, callTimeout)
	state, changed, err := s.g.deps.Presence.Attach(ctx, s.presenceDevice())
	cancel()
	switch {
	case err != nil:
		// Nothing would be routed to this session; the client reconnects.
		s.g.log.Error("a device could not be attached", "user", s.user, "error", err)
		s.conn.Close(wire.CloseGoodbye, "try again")
	case changed:
		s.g.deps.Announcer.PresenceChanged(s.g.ctx, state)
	}
	s.mu.Lock()
	detached := s.detached
	s.mu.Unlock()
	if detached {
		s.detach()
	}
}

// Closed implements [websocket.Handler].
func (s *session) Closed(_ *websocket.Conn, _ error) {
	s.g.costs.disconnect(s.id, s.budget)
	s.mu.Lock()
	s.closed = true
	s.backlog = nil
	sender := s.sender
	s.mu.Unlock()
	if sender != nil {
		sender.Close()
	}
	s.g.hub.remove(s)
	s.g.watches.end(s)
	if s.g.draining.Load() {
		s.g.background.Go(func() { // Stop waits for it
			sleep(s.g.drainCtx, s.g.cfg.AwayGrace)
			s.detach()
		})
		return
	}
	// A page that reloads is back within AwayGrace and stays online.
	time.AfterFunc(s.g.cfg.AwayGrace, func() { s.g.background.Do(s.detach) })
}

func (s *session) detach() {
	if s.g.ctx.Err() != nil {
		return // the gateway has stopped, and its devices are removed with it
	}
	s.mu.Lock()
	s.detached = true
	s.mu.Unlock()
	// The end of the gateway ends it: devices are removed with their node.
	ctx, cancel := context.WithTimeout(s.g.ctx, callTimeout)
	defer cancel()
	state, changed, err := s.g.deps.Presence.Detach(ctx, s.presenceDevice())
	if err != nil {
		s.g.log.Error("a device could not be detached", "user", s.user, "error", err)
		return
	}
	if !changed {
		return
	}
	s.g.deps.Announcer.PresenceChanged(ctx, state)
	if state.Presence == chat.Offline {
		err := s.g.deps.Store.SetLastSeen(ctx, s.user, state.LastSeen)
		if err != nil && chat.CodeOf(err) != chat.CodeNotFound { // the account may have been deleted with its session
			s.g.log.Error("the last-seen time could not be stored", "user", s.user, "error", err)
		}
	}
}

// push encodes a frame and queues it for the client. It does not block.
func (s *session) push(frame any) { s.conn.Send(websocket.NewFrame(wire.Encode(frame))) }

func (s *session) sendError(id string, code chat.Code, text string) {
	s.push(wire.ErrorFrame{T: "error", ID: id, Code: string(code), Text: text})
}

// sendRetryableError answers a frame that may be sent again a little later.
func (s *session) sendRetryableError(id string, code chat.Code, text string) {
	s.push(wire.ErrorFrame{T: "error", ID: id, Code: string(code), Text: text, RetryAfterMS: retryAfter.Milliseconds()})
}

const floodedReason = "too much was sent for too long; connect again after 15 s"

// Frame implements [websocket.Handler].
func (s *session) Frame(c *websocket.Conn, size int) bool {
	if s.budget.spend(s.g.costs.now(), s.g.costs.of(size)) <= budgetSize+debtLimit {
		return true
	}
	c.Close(wire.CloseFlooded, floodedReason)
	return false
}

// Message implements [websocket.Handler]. It runs on the connection's event loop
// and must not block.
func (s *session) Message(c *websocket.Conn, p []byte) {
	if err := s.g.deps.Publisher.Refusing(); err != nil && s.refuseUnread(p, err) {
		return
	}
	frame, err := wire.DecodeInbound(p)
	var item any = frame
	cost := malformedCost
	if err != nil {
		item = err
	} else {
		cost = s.g.costs.ofRequest(frame)
	}
	now := s.g.costs.now()
	debt := s.budget.spend(now, cost)
	if debt > budgetSize+debtLimit {
		c.Close(wire.CloseFlooded, floodedReason)
		return
	}
	if frame == nil && err == nil && debt <= budgetSize {
		return // an unknown type, of a later version of the protocol
	}
	s.mu.Lock()
	if ping, ok := item.(*wire.Ping); ok && s.started { // answered at once, whatever waits
		s.mu.Unlock()
		s.g.heartbeats.answer(s, ping)
		return
	}
	s.lastArrival++
	in := inbound{item: item, arrival: s.lastArrival, paced: now + debt - syncShare}
	var refusal *submission.RetryError
	switch {
	case debt > budgetSize:
		refusal = errTooMuch(debt)
	case len(s.backlog) >= s.g.cfg.InFlight+spareBacklog:
		refusal = errOverflow
	case s.busy:
		s.backlog = append(s.backlog, in)
		s.mu.Unlock()
		return
	}
	started := s.started
	s.mu.Unlock()
	switch {
	case refusal == errOverflow && !started: // nothing is answered before hello
		c.Close(wire.CloseGoodbye, overflowText)
		return
	case refusal != nil && !started:
		c.Close(wire.CloseFlooded, floodedReason)
		return
	case refusal != nil:
		s.refuse(in, refusal)
		return
	}
	// Only this goroutine sets busy, so it is still unset.
	if s.handleInline(in) {
		return
	}
	s.mu.Lock()
	s.busy = true
	s.backlog = append(s.backlog, in)
	s.mu.Unlock()
	s.g.background.Go(s.runBacklog)
}

const overflowText = "too many frames are waiting"

// refuse refuses a frame, whatever it asks for.
func (s *session) refuse(in inbound, retry *submission.RetryError) {
	if f, ok := in.item.(*wire.Send); ok {
		s.rejectRetryable(sendRef{f.ID, f.Conversation, in.arrival}, retry)
		return
	}
	s.push(wire.ErrorFrame{T: "error", ID: frameID(in.item), Code: string(chat.CodeRateLimited), Text: retry.Refusal.Text, RetryAfterMS: retry.After.Milliseconds()})
}

// frameID returns the id under which a frame that is no send is answered, "" if
// it has none.
func frameID(item any) string {
	switch f := item.(type) {
	case *wire.Sync:
		return f.ID
	case *wire.Withdraw:
		return f.ID.String()
	}
	return ""
}

// handleInline handles a frame if that needs no I/O, and reports whether it did.
func (s *session) handleInline(in inbound) bool {
	switch f := in.item.(type) {
	case *wire.Send:
		return s.sendInline(f, in.arrival)
	case *wire.Withdraw:
		s.withdraw(f)
		return true
	case *wire.Sync:
		s.sync(pacedSync{f, in.paced})
		return true
	case *wire.Ping: // from before hello
		s.g.heartbeats.answer(s, f)
		return true
	case *wire.Mark:
		s.g.marks.add(s.user, f)
		return true
	case error:
		s.malformed(f)
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

// handle handles a frame. It may block.
func (s *session) handle(ctx context.Context, in inbound) {
	if f, ok := in.item.(*wire.Send); ok {
		s.sendWithLookup(ctx, f, in.arrival)
		return
	}
	switch f := in.item.(type) {
	case *wire.Typing:
		s.typing(ctx, f)
	case *wire.Watch:
		s.g.watches.replace(s, f.Users)
	case *wire.Status:
		s.status(ctx, f)
	}
}

func (s *session) typing(ctx context.Context, f *wire.Typing) {
	// Once a second is enough for the receivers; more is dropped.
	now := s.g.costs.now()
	if s.typingSentAt != 0 && now-s.typingSentAt < time.Second {
		return
	}
	members, err := s.g.members.load(ctx, f.Conversation)
	if err != nil || !members.has(s.user) {
		return // typing is not answered
	}
	s.typingSentAt = now
	s.g.deps.Announcer.Typing(ctx, members.audience(f.Conversation), s.user)
}

func (s *session) status(ctx context.Context, f *wire.Status) {
	state, changed, err := s.g.deps.Presence.SetAway(ctx, s.presenceDevice(), f.Away)
	if err != nil {
		s.g.log.Error("a device's status could not be stored", "user", s.user, "error", err)
		return
	}
	if changed {
		s.g.deps.Announcer.PresenceChanged(ctx, state)
	}
}

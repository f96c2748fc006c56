package client

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// errServerSilent is why a connection ended whose server had stopped answering.
var errServerSilent = errors.New("the server has not answered the last heartbeats")

// maxUnanswered is the number of unanswered heartbeats that ends a connection,
// unless [Dialer.TolerateSilence] is set.
const maxUnanswered = 3

// heartbeats sends heartbeats and detects a server that is gone. It is a timer
// and not a goroutine, because a process may have many thousands.
//
// The server says when the next heartbeat is due. One is sent sooner after this
// side sent something, or when the last one is not answered.
type heartbeats struct {
	maxUnanswered int32                  // unanswered heartbeats that end the connection
	unanswered    atomic.Int32           // heartbeats since the last data from the server
	sending       atomic.Bool            // a heartbeat is being written
	resting       atomic.Bool            // the next heartbeat is due in more than heartbeatInterval
	cursor        atomic.Pointer[string] // see SetCursor; nil for none

	mu      sync.Mutex
	timer   *time.Timer // nil without heartbeats
	stopped bool
}

// startHeartbeats starts the heartbeats with the interval from hello.
func (s *Socket) startHeartbeats(patient bool) {
	limits := s.Hello.Limits
	if limits.HeartbeatMS <= 0 {
		return
	}
	s.heartbeats.maxUnanswered = maxUnanswered
	if patient {
		beats := (limits.IdleMS + limits.HeartbeatMS - 1) / limits.HeartbeatMS
		s.heartbeats.maxUnanswered = int32(min(max(beats, maxUnanswered), math.MaxInt32)) //nolint:gosec // it is bounded
	}
	s.heartbeats.mu.Lock()
	defer s.heartbeats.mu.Unlock()
	s.running.Add(1)
	s.heartbeats.timer = time.AfterFunc(s.heartbeatInterval(), s.sendHeartbeat)
}

func (s *Socket) heartbeatInterval() time.Duration {
	return time.Duration(s.Hello.Limits.HeartbeatMS) * time.Millisecond
}

func (s *Socket) sendHeartbeat() {
	defer s.running.Done()
	h := &s.heartbeats
	// Unread data is an answer of the server: then this process is late, and not
	// the server.
	if h.unanswered.Add(1) >= h.maxUnanswered && !unread(s.conn) {
		s.abort(errServerSilent)
		return
	}
	h.mu.Lock()
	if !h.stopped {
		s.running.Add(1)
		h.resting.Store(false)
		h.timer.Reset(s.heartbeatInterval())
	}
	h.mu.Unlock()
	// A heartbeat that blocks must not stop the timer.
	if h.sending.CompareAndSwap(false, true) {
		ping := wire.Ping{T: "ping"}
		if cursor := h.cursor.Load(); cursor != nil {
			ping.Cursor = *cursor
		}
		_ = s.Send(ping)
		h.sending.Store(false)
	}
}

// SetCursor sets the cursor up to which the device has everything, "" for none. A
// heartbeat carries it, and the server sends resync when something changed since.
func (s *Socket) SetCursor(cursor string) {
	if cursor == "" {
		s.heartbeats.cursor.Store(nil)
		return
	}
	s.heartbeats.cursor.Store(&cursor)
}

// rest delays the next heartbeat until the server wants it.
func (s *Socket) rest(pong Frame) {
	var f wire.Pong
	if pong.Into(&f) != nil {
		return
	}
	s.setTimer(time.Duration(f.NextMS) * time.Millisecond)
}

// expectAnswer has the next heartbeat sent soon, because something was sent that
// the server answers.
func (s *Socket) expectAnswer() {
	if s.heartbeats.resting.Load() {
		s.setTimer(s.heartbeatInterval())
	}
}

// setTimer sets when the next heartbeat is sent.
func (s *Socket) setTimer(d time.Duration) {
	h := &s.heartbeats
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped || h.timer == nil || d <= 0 || !h.timer.Stop() {
		return // it is being sent
	}
	h.resting.Store(d > s.heartbeatInterval())
	h.timer.Reset(d)
}

// received records a sign of life.
func (h *heartbeats) received() {
	if h.unanswered.Load() != 0 {
		h.unanswered.Store(0)
	}
}

func (s *Socket) stopHeartbeats() {
	h := &s.heartbeats
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped = true; h.timer != nil && h.timer.Stop() {
		s.running.Done() // it will not fire
	}
}

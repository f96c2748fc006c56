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
type heartbeats struct {
	maxUnanswered int32        // unanswered heartbeats that end the connection
	unanswered    atomic.Int32 // heartbeats since the last data from the server
	sending       atomic.Bool  // a heartbeat is being written

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
	s.heartbeats.timer = time.AfterFunc(s.heartbeatInterval(), s.sendHeartbeat)
}

func (s *Socket) heartbeatInterval() time.Duration {
	return time.Duration(s.Hello.Limits.HeartbeatMS) * time.Millisecond
}

func (s *Socket) sendHeartbeat() {
	h := &s.heartbeats
	// Unread data is an answer of the server: then this process is late, and not
	// the server.
	if h.unanswered.Add(1) >= h.maxUnanswered && !unread(s.conn) {
		s.abort(errServerSilent)
		return
	}
	h.mu.Lock()
	if !h.stopped {
		h.timer.Reset(s.heartbeatInterval())
	}
	h.mu.Unlock()
	// A heartbeat that blocks must not stop the timer.
	if h.sending.CompareAndSwap(false, true) {
		_ = s.Send(wire.Ping{T: "ping"})
		h.sending.Store(false)
	}
}

// received records a sign of life.
func (h *heartbeats) received() {
	if h.unanswered.Load() != 0 {
		h.unanswered.Store(0)
	}
}

func (h *heartbeats) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped = true; h.timer != nil {
		h.timer.Stop()
	}
}

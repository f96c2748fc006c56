package client

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// errSilent is why a connection ended whose server said nothing any more.
var errSilent = errors.New("the server has not answered the last heartbeats")

// mostSilent is with how many heartbeats since the last word from the server
// the connection is given up, unless [Dialer.Patient] is set.
const mostSilent = 3

// heart sends the heartbeats and notices when the server is gone. It is a timer
// and no goroutine, because a process may have many thousands.
type heart struct {
	most   int32        // heartbeats without a word from the server that end the connection
	silent atomic.Int32 // heartbeats since the server said something
	stuck  atomic.Bool  // a heartbeat waits for the connection to take it

	mu      sync.Mutex
	timer   *time.Timer // nil without heartbeats
	stopped bool
}

// startHeart has the heart beat at the pace that hello asks for.
func (s *Socket) startHeart(patient bool) {
	limits := s.Hello.Limits
	if limits.HeartbeatMS <= 0 {
		return
	}
	s.heart.most = mostSilent
	if patient {
		beats := (limits.IdleMS + limits.HeartbeatMS - 1) / limits.HeartbeatMS
		s.heart.most = int32(min(max(beats, mostSilent), math.MaxInt32)) //nolint:gosec // it is bounded
	}
	s.heart.mu.Lock()
	defer s.heart.mu.Unlock()
	s.running.Add(1)
	s.heart.timer = time.AfterFunc(s.heartbeat(), s.beat)
}

func (s *Socket) heartbeat() time.Duration {
	return time.Duration(s.Hello.Limits.HeartbeatMS) * time.Millisecond
}

func (s *Socket) beat() {
	defer s.running.Done()
	h := &s.heart
	// What waits to be read is a word from the server: then this process is
	// late, and not the server.
	if h.silent.Add(1) >= h.most && !unread(s.conn) {
		s.cut(errSilent)
		return
	}
	h.mu.Lock()
	if !h.stopped {
		s.running.Add(1)
		h.timer.Reset(s.heartbeat())
	}
	h.mu.Unlock()
	// Time goes on for a heartbeat that gets no further.
	if h.stuck.CompareAndSwap(false, true) {
		_ = s.Send(wire.Ping{T: "ping"})
		h.stuck.Store(false)
	}
}

// heard notes a sign of life.
func (h *heart) heard() {
	if h.silent.Load() != 0 {
		h.silent.Store(0)
	}
}

func (s *Socket) stopHeart() {
	h := &s.heart
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped = true; h.timer != nil && h.timer.Stop() {
		s.running.Done() // it will not beat
	}
}

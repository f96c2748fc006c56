package client

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// errSilent is why a connection ended whose server said nothing any more.
var errSilent = errors.New("the server has not answered two heartbeats")

// mostSilent is with how many heartbeats since the last word from the server
// the connection is given up.
const mostSilent = 3

// heart sends the heartbeats and notices when the server is gone. It is a timer
// and no goroutine, because a process may have many thousands.
type heart struct {
	silent atomic.Int32 // heartbeats since the server said something
	stuck  atomic.Bool  // a heartbeat waits for the connection to take it

	mu      sync.Mutex
	timer   *time.Timer // nil without heartbeats
	stopped bool
}

// startHeart has the heart beat at the pace that hello asks for.
func (s *Socket) startHeart() {
	if s.Hello.Limits.HeartbeatMS <= 0 {
		return
	}
	s.heart.mu.Lock()
	defer s.heart.mu.Unlock()
	s.heart.timer = time.AfterFunc(s.heartbeat(), s.beat)
}

func (s *Socket) heartbeat() time.Duration {
	return time.Duration(s.Hello.Limits.HeartbeatMS) * time.Millisecond
}

func (s *Socket) beat() {
	h := &s.heart
	if h.silent.Add(1) >= mostSilent {
		s.cut(errSilent)
		return
	}
	h.mu.Lock()
	if !h.stopped {
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

func (h *heart) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped = true; h.timer != nil {
		h.timer.Stop()
	}
}

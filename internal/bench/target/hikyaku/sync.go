package hikyaku

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// synchronize handles the other frames that concern conversations, and the
// answers to syncs. A user starts at the state that the first connection finds.
func (c *conn) synchronize(f client.Frame) {
	out := c.sync.machine.Handle(time.Now(), f.T, f.Raw)
	c.outgoing.sendAfter(out.Send, out.After)
	if f.T == "changes" {
		c.handleChanges(out.Messages)
	}
	c.checkSynced()
}

// frameSender sends frames for the goroutine that reads a socket: that one reads
// others too, and must not block. A lost connection is the reader's to notice.
// Its zero value keeps what it is given until start.
type frameSender struct {
	// running counts the goroutines: one that sends, and one for each delay. The
	// first are started by the reader, so there are no more once it has ended.
	running sync.WaitGroup

	mu      sync.Mutex
	socket  *client.Socket // nil before start
	waiting []any          // frames, in order
	sending bool           // a goroutine sends
}

// start sends on this socket from now on.
func (s *frameSender) start(socket *client.Socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.socket = socket
	s.run()
}

// sendAfter sends syncs after a delay, if the connection lives as long. It does not
// block.
func (s *frameSender) sendAfter(syncs []wire.Sync, delay time.Duration) {
	if len(syncs) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if delay > 0 && s.socket != nil {
		s.running.Go(func() { s.sendLater(syncs, delay) })
		return
	}
	for i := range syncs {
		s.waiting = append(s.waiting, syncs[i])
	}
	s.run()
}

// send sends a frame. It does not block.
func (s *frameSender) send(frame any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, frame)
	s.run()
}

func (s *frameSender) sendLater(syncs []wire.Sync, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.sendAfter(syncs, 0)
	case <-s.socket.Done():
	}
}

// run starts the goroutine that sends, unless there is one or nothing to do.
// s.mu must be held.
func (s *frameSender) run() {
	if s.socket == nil || s.sending || len(s.waiting) == 0 {
		return
	}
	s.sending = true
	s.running.Go(s.sendWaiting)
}

func (s *frameSender) sendWaiting() {
	for {
		s.mu.Lock()
		frames := s.waiting
		s.waiting, s.sending = nil, len(frames) > 0
		s.mu.Unlock()
		if len(frames) == 0 {
			return
		}
		for _, f := range frames {
			_ = s.socket.Send(f)
		}
	}
}

// wait waits for the goroutines, after the socket has ended.
func (s *frameSender) wait() { s.running.Wait() }

// checkSynced closes synced when nothing is missing for the first time.
func (c *conn) checkSynced() {
	if !c.isSynced && c.sync.machine.Whole() {
		c.isSynced = true
		close(c.synced)
	}
}

package hikyaku

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// synchronize handles the other frames that concern conversations, and the
// answers to syncs. A user starts at the state that the first connection finds.
func (c *conn) synchronize(f client.Frame) {
	c.sync.mu.Lock()
	defer c.sync.mu.Unlock()
	out := c.sync.machine.Handle(time.Now(), f.T, f.Raw)
	c.sendSyncs(out.Send)
	if f.T == "changes" {
		c.handleChanges(out.Messages)
	}
	if !c.isSynced && c.sync.machine.Whole() {
		c.isSynced = true
		close(c.synced)
	}
}

// sendSyncs sends requests, has heartbeats carry the cursor, and sees to it that
// the machine is called when it has more to send. c.sync.mu must be held.
func (c *conn) sendSyncs(requests []wire.Sync) {
	for i := range requests {
		c.outgoing.send(requests[i])
	}
	if cursor := c.sync.machine.Cursor(); cursor != c.cursor {
		c.cursor = cursor
		c.outgoing.setCursor(cursor)
	}
	if due := c.sync.machine.Due(); !due.IsZero() {
		c.outgoing.schedule(due, c.tick)
	}
}

func (c *conn) tick() {
	c.sync.mu.Lock()
	defer c.sync.mu.Unlock()
	c.sendSyncs(c.sync.machine.Tick(time.Now()))
}

// frameSender sends frames for the goroutine that reads a socket: that one reads
// others too, and must not block. A lost connection is the reader's to notice.
// Its zero value keeps what it is given until start.
type frameSender struct {
	// running counts the goroutine that sends and the timer. They are started by
	// the reader, or by each other, so there are no more once both have ended.
	running sync.WaitGroup

	mu      sync.Mutex
	socket  *client.Socket // nil before start
	waiting []any          // frames, in order
	sending bool           // a goroutine sends
	cursor  string         // for heartbeats, before start
	timer   *time.Timer    // calls tick; nil while there is nothing to wait for
	due     time.Time      // when
	ended   bool           // the socket has ended: no more timers
}

// start sends on this socket from now on.
func (s *frameSender) start(socket *client.Socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.socket = socket
	socket.SetCursor(s.cursor)
	s.run()
}

// send sends frames. It does not block.
func (s *frameSender) send(frames ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, frames...)
	s.run()
}

// sendBehind sends an encoded frame if frames before it are not sent yet, and reports
// whether it did. It does not block.
func (s *frameSender) sendBehind(frame []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sending && len(s.waiting) == 0 {
		return false
	}
	s.waiting = append(s.waiting, json.RawMessage(bytes.Clone(frame)))
	s.run()
	return true
}

func (s *frameSender) setCursor(cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursor = cursor; s.socket != nil {
		s.socket.SetCursor(cursor)
	}
}

// schedule calls tick at a time, or at the earlier one of a previous call.
func (s *frameSender) schedule(due time.Time, tick func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.timer != nil && (!s.due.After(due) || !s.timer.Stop()) {
		return
	}
	if s.timer == nil {
		s.running.Add(1)
	}
	s.due = due
	s.timer = time.AfterFunc(time.Until(due), func() {
		defer s.running.Done()
		s.mu.Lock()
		s.timer = nil
		s.mu.Unlock()
		tick()
	})
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
		_ = s.socket.Send(frames...)
	}
}

// wait waits for the goroutine and the timer, after the socket has ended.
func (s *frameSender) wait() {
	s.mu.Lock()
	s.ended = true
	if s.timer != nil && s.timer.Stop() {
		s.timer = nil
		s.running.Done() // it will not fire
	}
	s.mu.Unlock()
	s.running.Wait()
}

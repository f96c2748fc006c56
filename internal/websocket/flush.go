package websocket

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/precisetimer"
)

// flushBuffer is how many bytes are written in one call.
const flushBuffer = 64 << 10

// markDirty adds a connection to the flusher's list. Its writing flag must be
// set.
func (l *loop) markDirty(c *Conn) { l.dirty.Add(c) }

// soonList has the connections whose queues may wait for company.
type soonList struct {
	mu    sync.Mutex
	conns []*Conn
}

// add has a connection written after a wait, unless it is written before. Those that
// are added meanwhile are written with it: their waits end at the same departure.
func (l *soonList) add(c *Conn, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns = append(l.conns, c); len(l.conns) == 1 {
		go func() {
			precisetimer.Sleep(wait)
			l.depart()
		}()
	}
}

func (l *soonList) depart() {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for _, c := range conns {
		c.mu.Lock()
		waits := !c.writing && len(c.queue) > 0
		c.writing = c.writing || waits
		c.mu.Unlock()
		if waits {
			c.loop.markDirty(c)
		}
	}
}

// flush writes the queues of a loop's connections until the server stops.
func (l *loop) flush() {
	var work []*Conn
	var frames [][]byte // the queue that is being written; swapped with the connection's
	buf := make([]byte, 0, flushBuffer)
	for {
		select {
		case <-l.server.stop:
			return
		case <-l.dirty.Ready():
		}
		work = l.dirty.Swap(work)
		for i, c := range work {
			frames = c.flush(frames, buf)
			work[i] = nil
		}
		l.writes.Add(l.flushed.writes, l.flushed.frames)
		l.flushed.writes, l.flushed.frames = 0, 0
	}
}

// flush writes the queue. frames and buf are scratch space; it returns frames for
// the next connection.
func (c *Conn) flush(frames [][]byte, buf []byte) [][]byte {
	c.mu.Lock()
	frames, c.queue = c.queue, frames[:0]
	c.mu.Unlock()
	written, rest := 0, []byte(nil)
	for i := 0; i < len(frames) && rest == nil; {
		// The frames that fit into the buffer are written in one call.
		first, out := i, frames[i] // one alone needs no copy
		if i++; i < len(frames) && len(out)+len(frames[i]) <= flushBuffer {
			out = append(buf[:0], out...)
			for ; i < len(frames) && len(out)+len(frames[i]) <= flushBuffer; i++ {
				out = append(out, frames[i]...)
			}
		}
		n, err := c.tryWrite(out)
		if n > 0 {
			c.loop.flushed.writes++
			c.loop.flushed.frames += i - first
		}
		written += n
		if err != nil {
			c.abort(err)
			break
		}
		if n < len(out) {
			rest = append(rest, out[n:]...)
			for ; i < len(frames); i++ {
				rest = append(rest, frames[i]...)
			}
		}
	}
	clear(frames)
	c.finishFlush(written, rest)
	return frames[:0]
}

// finishFlush accounts for n written bytes. rest is what the kernel did not
// accept; a blocking writer writes it.
func (c *Conn) finishFlush(n int, rest []byte) {
	c.mu.Lock()
	c.queued -= n
	c.wake()
	switch {
	case c.reason != nil:
		c.queue = nil
	case len(rest) > 0:
		c.mu.Unlock()
		c.server.running.Go(func() { c.writeBlocking(rest) })
		return
	case len(c.queue) > 0:
		c.mu.Unlock()
		c.loop.markDirty(c)
		return
	default:
		c.queue = nil // an idle connection has no buffer
	}
	c.writing = false
	ending := c.closeAfterFlush
	c.mu.Unlock()
	if ending {
		c.abort(errPeerClosed)
	}
}

// writeBlocking writes to a client that reads too slowly, until the queue is
// empty.
func (c *Conn) writeBlocking(rest []byte) {
	for len(rest) > 0 {
		n, err := 0, c.net.SetWriteDeadline(time.Now().Add(c.server.cfg.WriteTimeout))
		if err == nil {
			n, err = c.net.Write(rest[:min(len(rest), flushBuffer)])
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = errSlow
			}
			c.abort(err)
		}
		rest = rest[n:]
		c.mu.Lock()
		c.queued -= n
		c.wake()
		if c.reason != nil {
			c.queue, c.writing = nil, false
			c.mu.Unlock()
			return
		}
		if len(rest) == 0 {
			for _, p := range c.queue {
				rest = append(rest, p...)
			}
			c.queue = nil
			c.writing = len(rest) > 0
			if !c.writing {
				// The deadline was for this writer. It would fail the next
				// write, whenever that comes.
				_ = c.net.SetWriteDeadline(time.Time{})
			}
		}
		ending := c.closeAfterFlush && !c.writing
		c.mu.Unlock()
		if ending {
			c.abort(errPeerClosed)
		}
	}
}

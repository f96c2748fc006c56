package websocket

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/eventloop"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

// Reasons for the end of a connection, besides errors of the network and of the
// protocol.
var (
	errIdle         = errors.New("the client sent nothing for too long")
	errSlow         = errors.New("the client reads too slowly")
	errServerClosed = errors.New("the server is stopping")
	errPeerClosed   = errors.New("the client closed the connection")
)

// transport is what a connection needs of the one below.
type transport interface {
	io.ReadWriteCloser
	SetWriteDeadline(t time.Time) error
}

// Conn is a WebSocket connection. Its methods may be called concurrently.
type Conn struct {
	server      *Server
	loop        *loop
	net         transport
	raw         syscall.RawConn // nil unless it is a TCP connection on Linux
	handler     Handler
	parser      wsframe.Parser // used by the reader only
	protocolErr *wsframe.Error // used by the reader only: the protocol error of the client; later input is discarded
	lastRead    atomic.Int64   // the server's clock when the client last sent something, in nanoseconds

	mu              sync.Mutex
	queue           [][]byte
	queued          int           // bytes, including those being written
	oversized       int           // bytes of the largest frame above MaxQueued since the queue was empty, 0 for none
	progress        chan struct{} // closed when bytes were written or the connection ends; nil unless someone waits
	writing         bool          // see the package's invariants
	closing         bool          // a close frame is the last thing in the queue
	closeAfterFlush bool          // and the connection is ended once that is written
	stopped         bool          // used by the reader only: nothing more is read
	framesRead      int32         // used by the reader only: frames that ended in what it reads
	closeDeadline   int64
	reason          error // why it was ended; nil while it is open
}

// Send queues a frame. It never blocks. It reports whether the frame was queued:
// it is not when the connection is closed, or when the queue is full, which ends
// the connection. The bound is for what gathers behind a slow reader, so a single
// frame is queued however large it is.
func (c *Conn) Send(f Frame) bool { return c.enqueue(f, false) }

// SendSoon is Send for a frame that may wait for company, for the longest wait of the
// server's linger at most. It keeps its place: what is sent after it takes it along.
func (c *Conn) SendSoon(f Frame) bool {
	now := time.Now()
	wait := c.server.cfg.Linger.Remaining(now, now)
	if wait == 0 {
		return c.Send(f)
	}
	c.mu.Lock()
	if c.writing || c.closing || c.reason != nil || !c.fits(len(f)) {
		c.mu.Unlock()
		return c.Send(f)
	}
	alone := len(c.queue) == 0
	c.queue = append(c.queue, f)
	c.queued += len(f)
	c.mu.Unlock()
	if alone {
		c.loop.soon.add(c, wait)
	}
	return true
}

// enqueue adds a frame to the queue; last means that it is a close frame.
func (c *Conn) enqueue(p []byte, last bool) bool {
	switch c.put(p, last, nil) {
	case putFirst:
		c.loop.markDirty(c)
	case putNot:
		return false
	}
	return true
}

// placed is what became of a frame that was to be queued.
type placed int

const (
	putNot    placed = iota // the connection is closed, or was ended because the queue is full
	putBehind               // the flusher will see it
	putFirst                // the connection must be added to the flusher's list
)

// put adds a frame to the queue; last means that it is a close frame. spare is memory
// for a queue that has none; it may be nil.
func (c *Conn) put(p []byte, last bool, spare [][]byte) placed {
	c.mu.Lock()
	if c.reason != nil || c.closing {
		c.mu.Unlock()
		return putNot
	}
	if !c.fits(len(p)) && !last {
		c.mu.Unlock()
		c.abort(errSlow)
		return putNot
	}
	c.closing = last
	if last {
		c.closeDeadline = c.server.clock.Load() + int64(closeTimeout)
	}
	if c.queue == nil {
		c.queue = spare
	}
	c.queue = append(c.queue, p)
	c.queued += len(p)
	idle := !c.writing
	c.writing = true
	c.mu.Unlock()
	if last {
		c.server.watchClosing(c)
	}
	if idle {
		return putFirst
	}
	return putBehind
}

// fits reports whether a frame of n bytes may be queued. Of the frames that alone
// exceed the bound, one does not count: it is not the reader who is slow then, and
// what the queue holds is still bounded. c.mu must be held.
func (c *Conn) fits(n int) bool {
	if c.queued == 0 {
		c.oversized = 0
	}
	if n > c.server.cfg.MaxQueued {
		c.oversized = max(c.oversized, n)
	}
	return c.queued+n <= c.server.cfg.MaxQueued+c.oversized
}

// Close queues a close frame behind everything that was sent before. The
// connection ends when the client answers, or after closeTimeout. It does not
// block.
func (c *Conn) Close(code int, reason string) { c.enqueue(closeFrame(code, reason), true) }

// Queued returns the number of bytes that wait to be written.
func (c *Conn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued
}

// AwaitQueued waits until at most n bytes wait to be written, so that a caller who
// has much to send does not fill the queue. It returns an error when ctx or the
// connection ends first.
func (c *Conn) AwaitQueued(ctx context.Context, n int) error {
	for {
		c.mu.Lock()
		if c.reason != nil || c.queued <= n {
			defer c.mu.Unlock()
			return c.reason
		}
		if c.progress == nil {
			c.progress = make(chan struct{})
		}
		progress := c.progress
		c.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wake wakes those who wait for the queue. c.mu must be held.
func (c *Conn) wake() {
	if c.progress != nil {
		close(c.progress)
		c.progress = nil
	}
}

// abort ends the connection without a close frame. The reader sees the end and
// cleans up.
func (c *Conn) abort(reason error) {
	c.mu.Lock()
	if c.reason != nil {
		c.mu.Unlock()
		return
	}
	c.reason = reason
	c.queue = nil
	c.wake()
	c.mu.Unlock()
	c.shutdown()
}

// closeOverdue reports whether the client has not answered a close frame for too
// long. now is the server's clock.
func (c *Conn) closeOverdue(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing && now > c.closeDeadline
}

// end closes the connection. The reader calls it once, at the end.
func (c *Conn) end(err error) {
	if err == io.EOF {
		err = errPeerClosed
	}
	c.mu.Lock()
	if c.reason != nil {
		err = c.reason
	}
	if c.protocolErr != nil {
		err = c.protocolErr
	}
	c.reason = err
	c.queue = nil
	c.wake()
	c.mu.Unlock()
	_ = c.net.Close()
	c.handler.Closed(c, err)
	c.server.removeConn(c)
}

// feed handles bytes from the client.
func (c *Conn) feed(p []byte) error {
	if c.protocolErr != nil {
		// The client may still be sending. Closing now would reset the
		// connection, and the client would never read the reason; it has
		// until closeDeadline to do so.
		return nil //nolint:nilerr // protocolErr is passed to Closed at the end
	}
	if c.stopped {
		return eventloop.ErrStopReading
	}
	c.lastRead.Store(c.server.clock.Load())
	c.framesRead = 0
	err := c.parser.Feed(p, wsframe.FromClient, c.server.cfg.MaxMessage, c.handle)
	c.loop.reads.Count(int(c.framesRead))
	if err == eventloop.ErrStopReading {
		// What the client still sends stays in the socket. The connection ends when the
		// client has closed it, or after closeTimeout.
		c.stopped, c.parser = true, wsframe.Parser{}
		return err
	}
	if errors.As(err, &c.protocolErr) {
		// The connection ends after the client had time to read the reason.
		c.parser = wsframe.Parser{}
		c.Close(c.protocolErr.Code, c.protocolErr.Reason)
		err = nil
	}
	return err
}

func (c *Conn) handle(op wsframe.Opcode, payload []byte) error {
	c.framesRead++
	if !c.handler.Frame(c, len(payload)) {
		return eventloop.ErrStopReading
	}
	switch op {
	case wsframe.Text:
		if !c.isClosing() {
			c.handler.Message(c, payload)
		}
	case wsframe.Ping:
		c.enqueue(newFrame(wsframe.Pong, payload), false)
	case wsframe.Close:
		return c.handleClose(payload)
	}
	return nil
}

func (c *Conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.reason != nil
}

// handleClose answers a close frame, unless a close frame was sent before.
func (c *Conn) handleClose(payload []byte) error {
	code, _, err := wsframe.ParseClose(payload)
	if err != nil {
		return err
	}
	if code == wsframe.CodeNoStatus {
		code = wsframe.CodeNormal
	}
	c.enqueue(closeFrame(code, ""), true)
	// The server ends the TCP connection (RFC 6455, section 7.1.1), once the
	// queue is written.
	c.mu.Lock()
	c.closeAfterFlush = true
	idle := !c.writing
	c.mu.Unlock()
	if idle {
		c.abort(errPeerClosed)
	}
	return nil
}

// readLoop reads a connection that no event loop reads.
func (c *Conn) readLoop() {
	buf := make([]byte, 4096)
	for {
		n, err := c.net.Read(buf)
		if n > 0 {
			// What is not to be read is discarded: the end has to be noticed.
			if err := c.feed(buf[:n]); err != nil && err != eventloop.ErrStopReading {
				c.end(err)
				return
			}
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

package websocket

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

// Why connections end, beside what the network and the protocol say.
var (
	errIdle         = errors.New("the client was silent for too long")
	errSlow         = errors.New("the client does not take what is sent to it")
	errServerClosed = errors.New("the server is stopping")
	errPeerClosed   = errors.New("the client closed the connection")
)

// Conn is a connection. Its methods may be called concurrently.
type Conn struct {
	server      *Server
	loop        *loop
	net         net.Conn
	raw         syscall.RawConn // nil when a goroutine reads
	handler     Handler
	parser      wsframe.Parser // of the reader alone
	protocolErr *wsframe.Error // of the reader alone: what the client did wrong; nothing after it counts
	lastRead    atomic.Int64   // the server's clock when the client last sent something

	mu              sync.Mutex
	queue           [][]byte
	queued          int  // bytes, those being written included
	writing         bool // see the package's invariants
	closing         bool // a close frame is the last thing in the queue
	closeAfterFlush bool // and the connection is cut once that is written
	closeDeadline   int64
	reason          error // why it was cut, nil while it was not
}

// Send queues a frame. It never blocks. It tells whether the frame was queued:
// not so when the connection is closed, or was too slow and is cut off now.
func (c *Conn) Send(f Frame) bool { return c.enqueue(f, false) }

// enqueue adds bytes to the queue; last says that they are a close frame.
func (c *Conn) enqueue(p []byte, last bool) bool {
	c.mu.Lock()
	if c.reason != nil || c.closing {
		c.mu.Unlock()
		return false
	}
	if c.queued+len(p) > c.server.cfg.MaxQueued && !last {
		c.mu.Unlock()
		c.abort(errSlow)
		return false
	}
	c.closing = last
	if last {
		c.closeDeadline = c.server.clock.Load() + int64(closeTimeout)
	}
	c.queue = append(c.queue, p)
	c.queued += len(p)
	idle := !c.writing
	c.writing = true
	c.mu.Unlock()
	if idle {
		c.loop.markDirty(c)
	}
	return true
}

// Close says goodbye behind everything that was sent before. The connection
// ends when the client answers, or a little later without its answer.
func (c *Conn) Close(code int, reason string) { c.enqueue(closeFrame(code, reason), true) }

// Queued is how many bytes wait to be written.
func (c *Conn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued
}

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.net.RemoteAddr() }

// abort ends the connection without a word. The reader sees it and cleans up.
func (c *Conn) abort(reason error) {
	c.mu.Lock()
	if c.reason != nil {
		c.mu.Unlock()
		return
	}
	c.reason = reason
	c.queue = nil
	c.mu.Unlock()
	c.shutdown()
}

// overdue tells whether the client has been silent for too long.
func (c *Conn) overdue(now int64) bool {
	if now-c.lastRead.Load() > int64(c.server.cfg.IdleTimeout) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing && now > c.closeDeadline
}

// end is the reader's last act.
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
	c.mu.Unlock()
	_ = c.net.Close()
	c.handler.Closed(c, err)
	c.server.removeConn(c)
}

// feed handles bytes from the client.
func (c *Conn) feed(p []byte) error {
	if c.protocolErr != nil {
		// The client still sends what it had begun. Closing now would reset
		// the connection, and the client would never learn the reason; it
		// has until closeBy to read it.
		return nil //nolint:nilerr // broken is told by Closed, at the end
	}
	c.lastRead.Store(c.server.clock.Load())
	err := c.parser.Feed(p, wsframe.FromClient, c.server.cfg.MaxMessage, c.handle)
	if errors.As(err, &c.protocolErr) {
		// The connection ends once the client has had its chance to read why.
		c.parser = wsframe.Parser{}
		c.Close(c.protocolErr.Code, c.protocolErr.Reason)
		err = nil
	}
	return err
}

func (c *Conn) handle(op wsframe.Opcode, payload []byte) error {
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

// handleClose answers a close frame, unless it is an answer itself or another one.
func (c *Conn) handleClose(payload []byte) error {
	code, _, err := wsframe.ParseClose(payload)
	if err != nil {
		return err
	}
	if code == wsframe.CodeNoStatus {
		code = wsframe.CodeNormal
	}
	c.enqueue(closeFrame(code, ""), true)
	// The server is the one to end the TCP connection (RFC 6455, section
	// 7.1.1), once what it has to say is out.
	c.mu.Lock()
	c.closeAfterFlush = true
	idle := !c.writing
	c.mu.Unlock()
	if idle {
		c.abort(errPeerClosed)
	}
	return nil
}

// readLoop is the reader of a connection that no loop serves.
func (c *Conn) readLoop() {
	buf := make([]byte, 4096)
	for {
		n, err := c.net.Read(buf)
		if n > 0 {
			if err := c.feed(buf[:n]); err != nil {
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

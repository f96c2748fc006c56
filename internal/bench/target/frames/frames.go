// Package frames is a WebSocket connection for drivers: text messages in both
// directions; control frames are handled.
package frames

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

const (
	// maxMessage bounds a message from the server, in bytes.
	maxMessage = 16 << 20
	// writeTimeout is how long the network may take nothing before the
	// connection is given up.
	writeTimeout = 30 * time.Second
	// closeTimeout is the same once the connection is being closed.
	closeTimeout = time.Second
)

// Conn is a connection. Write may be called concurrently, also with Read. When
// Write fails, Read fails as well and returns the reason, so the end is
// reported once.
type Conn struct {
	conn          net.Conn
	buf           []byte
	parser        wsframe.Parser
	texts         []byte      // messages that were parsed, one behind the other
	ends          []int       // where each of them ends
	next          int         // the message that Read returns next
	err           error       // what came behind them
	writeTimedOut atomic.Bool // the server takes nothing

	mu  sync.Mutex // guards writing
	out []byte

	deadline sync.Mutex // guards the deadline of writes, and closing
	closing  bool       // Close has set the last deadline
}

// CloseError is the server's close frame.
type CloseError struct {
	Code   int
	Reason string
}

// Why connections end that the server did not close with a word.
var (
	errConnectionLost = errors.New("the server broke the connection off")
	errWriteTimeout   = fmt.Errorf("the server has taken nothing for %v", writeTimeout)
)

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
}

// Address converts an http, https, ws or wss address into a WebSocket URL. path
// is used when the address has none.
func Address(address, path string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "ws"
	case "https", "wss":
		u.Scheme = "wss"
	default:
		return nil, fmt.Errorf("%q is not an address such as http://127.0.0.1:8080", address)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%q names no host", address)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = path
	}
	return u, nil
}

// Dial opens a connection that speaks a subprotocol, or none when that is
// empty.
func Dial(ctx context.Context, u *url.URL, subprotocol string) (*Conn, error) {
	dialer := ws.Dialer{Timeout: writeTimeout}
	if subprotocol != "" {
		dialer.Protocols = []string{subprotocol}
	}
	conn, in, hs, err := dialer.Dial(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open a socket to %s: %w", u.Host, err)
	}
	if hs.Protocol != subprotocol {
		_ = conn.Close()
		return nil, fmt.Errorf("open a socket to %s: the server does not speak %s", u.Host, subprotocol)
	}
	c := &Conn{conn: rawtcp.New(conn), buf: make([]byte, 4096)}
	if in != nil {
		p, _ := in.Peek(in.Buffered())
		c.feed(p)
		ws.PutReader(in)
	}
	return c, nil
}

// Within calls do, which reads, and has its reads fail when it takes longer than
// limit, or when ctx ends. Later reads are not bounded.
func (c *Conn) Within(ctx context.Context, limit time.Duration, do func() error) error {
	until := time.Now().Add(limit)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := c.conn.SetReadDeadline(until); err != nil {
		return err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	})
	err := do()
	if !stop() {
		<-ended // or it would end a later read
	}
	if err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return c.conn.SetReadDeadline(time.Time{})
}

// Read returns the next text message, which is valid until the next call. It
// answers pings. Only one goroutine at a time may call it.
func (c *Conn) Read() ([]byte, error) {
	text, err := c.read()
	switch {
	case err == nil:
		return text, nil
	case c.writeTimedOut.Load():
		return nil, errWriteTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		// Which of these it is depends on what was on its way.
		return nil, errConnectionLost
	}
	return nil, err
}

func (c *Conn) read() ([]byte, error) {
	for c.next == len(c.ends) {
		if c.err != nil {
			return nil, c.err
		}
		c.texts, c.ends, c.next = c.texts[:0], c.ends[:0], 0
		n, err := c.conn.Read(c.buf)
		c.feed(c.buf[:n])
		if c.err == nil && err != nil && len(c.ends) == 0 {
			return nil, err // of this call alone: a bound in time may be lifted
		}
	}
	start := 0
	if c.next > 0 {
		start = c.ends[c.next-1]
	}
	end := c.ends[c.next]
	c.next++
	return c.texts[start:end:end], nil
}

func (c *Conn) feed(p []byte) {
	if err := c.parser.Feed(p, wsframe.FromServer, maxMessage, c.handle); err != nil {
		c.err = fmt.Errorf("read from the server: %w", err)
	}
}

// handle stores a message, or handles a control frame.
func (c *Conn) handle(op wsframe.Opcode, payload []byte) error {
	switch op {
	case wsframe.Text:
		c.texts = append(c.texts, payload...)
		c.ends = append(c.ends, len(c.texts))
	case wsframe.Ping:
		return c.write(wsframe.Pong, payload)
	case wsframe.Close:
		code, reason, err := wsframe.ParseClose(payload)
		if err != nil {
			return err
		}
		return &CloseError{Code: code, Reason: reason}
	}
	return nil
}

// Write sends text messages with one system call. It blocks while the network
// accepts nothing, up to writeTimeout.
func (c *Conn) Write(texts ...[]byte) error { return c.write(wsframe.Text, texts...) }

func (c *Conn) write(op wsframe.Opcode, texts ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.allowWrite(); err != nil {
		return err
	}
	c.out = c.out[:0]
	for _, text := range texts {
		c.out = wsframe.AppendMasked(c.out, op, text)
	}
	_, err := c.conn.Write(c.out)
	if errors.Is(err, os.ErrDeadlineExceeded) && c.writeTimedOut.CompareAndSwap(false, true) {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // a part of a message is out: this is the end
	}
	return err
}

// allowWrite gives the next write its time. Once the connection is being closed
// there is no next one: it would give itself more time than Close has.
func (c *Conn) allowWrite() error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	return c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
}

// Close sends last messages and a close frame, and ends the connection. It does
// not wait for a network that takes nothing for longer than closeTimeout. A
// blocked Read returns an error, and so does a blocked Write.
func (c *Conn) Close(last ...[]byte) {
	c.deadline.Lock()
	c.closing = true
	_ = c.conn.SetDeadline(time.Now().Add(closeTimeout)) // also for writers that are blocked
	c.deadline.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = c.out[:0]
	for _, text := range last {
		c.out = wsframe.AppendMasked(c.out, wsframe.Text, text)
	}
	c.out = wsframe.AppendMasked(c.out, wsframe.Close, wsframe.ClosePayload(wsframe.CodeNormal, ""))
	_, _ = c.conn.Write(c.out)
	_ = c.conn.Close()
}

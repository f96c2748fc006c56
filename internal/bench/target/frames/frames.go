// Package frames is the WebSocket connection of drivers: text messages both
// ways, and control frames looked after.
package frames

import (
	"bufio"
	"bytes"
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
)

const (
	// largest bounds a message from the server.
	largest = 16 << 20
	// patience is how long the network may take nothing before the connection
	// is given up.
	patience = 30 * time.Second
)

// Conn is a connection. Write may be called concurrently, also beside Read. When
// a Write fails, a Read fails as well, and says why: so a connection has one end.
type Conn struct {
	conn  net.Conn
	in    *bufio.Reader
	text  []byte
	stuck atomic.Bool // the server takes nothing

	mu  sync.Mutex // guards writing
	out bytes.Buffer
}

// CloseError is how the server ended a connection.
type CloseError struct {
	Code   int
	Reason string
}

// Why connections end that the server did not close with a word.
var (
	errLost  = errors.New("the server broke the connection off")
	errStuck = fmt.Errorf("the server has taken nothing for %v", patience)
)

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
}

// Address turns an address for people (http, https, ws or wss) into that of a
// socket. path is where sockets are when the address does not say.
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
	dialer := ws.Dialer{Timeout: patience}
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
	if in == nil {
		in = bufio.NewReaderSize(conn, 4096)
	}
	return &Conn{conn: conn, in: in}, nil
}

// Limit bounds in time the reads that follow; the zero time means no bound.
func (c *Conn) Limit(until time.Time) error { return c.conn.SetReadDeadline(until) }

// Read gives the next text message, which is valid until the next call. Pings
// are answered meanwhile. Only one goroutine at a time may call it.
func (c *Conn) Read() ([]byte, error) {
	text, err := c.read()
	switch {
	case err == nil:
		return text, nil
	case c.stuck.Load():
		return nil, errStuck
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		// Which of these it is depends on what was on its way.
		return nil, errLost
	}
	return nil, err
}

func (c *Conn) read() ([]byte, error) {
	c.text = c.text[:0]
	for begun := false; ; {
		h, err := ws.ReadHeader(c.in)
		if err != nil {
			return nil, err
		}
		if h.OpCode.IsControl() {
			if err := c.control(h); err != nil {
				return nil, err
			}
			continue
		}
		before := len(c.text)
		if h.OpCode == ws.OpBinary || h.Masked || (h.OpCode == ws.OpContinuation) != begun {
			return nil, fmt.Errorf("the server sent a frame that is out of place (opcode %d)", h.OpCode)
		}
		if h.Length < 0 || h.Length > int64(largest-before) {
			return nil, fmt.Errorf("the server sent a message of more than %d bytes", largest)
		}
		c.text = append(c.text, make([]byte, h.Length)...)
		if _, err := io.ReadFull(c.in, c.text[before:]); err != nil {
			return nil, err
		}
		if begun = true; h.Fin {
			return c.text, nil
		}
	}
}

// control looks after a control frame.
func (c *Conn) control(h ws.Header) error {
	if h.Length > ws.MaxControlFramePayloadSize || h.Masked {
		return fmt.Errorf("the server sent a control frame that is none (opcode %d)", h.OpCode)
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		return c.write(ws.OpPong, body)
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(body)
		return &CloseError{Code: int(code), Reason: reason}
	}
	return nil
}

// Write sends text messages, all with one call to the system. It waits while
// the network takes nothing, though not for ever.
func (c *Conn) Write(texts ...[]byte) error { return c.write(ws.OpText, texts...) }

func (c *Conn) write(op ws.OpCode, texts ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Reset()
	for _, text := range texts {
		h := ws.Header{Fin: true, OpCode: op, Masked: true, Mask: ws.NewMask(), Length: int64(len(text))}
		if err := ws.WriteHeader(&c.out, h); err != nil {
			return err
		}
		start := c.out.Len()
		c.out.Write(text)
		ws.Cipher(c.out.Bytes()[start:], h.Mask, 0)
	}
	if op != ws.OpClose { // Close has a limit of its own
		if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
	}
	_, err := c.conn.Write(c.out.Bytes())
	if op != ws.OpClose && errors.Is(err, os.ErrDeadlineExceeded) && c.stuck.CompareAndSwap(false, true) {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // a part of a message is out: this is the end
	}
	return err
}

// Close says goodbye and ends the connection. A Read that waits returns an
// error.
func (c *Conn) Close() {
	// One that takes nothing any more is not waited for.
	_ = c.conn.SetDeadline(time.Now().Add(time.Second))
	_ = c.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	_ = c.conn.Close()
}

package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Frame is a frame from the server. Raw is only valid during the call that
// hands it over.
type Frame struct {
	T   string
	Raw []byte
}

// Into decodes the frame into one of the wire types.
func (f Frame) Into(v any) error { return json.Unmarshal(f.Raw, v) }

// Socket is a connection of hikyaku.v1. Send may be called concurrently.
type Socket struct {
	Hello wire.Hello

	conn    net.Conn
	onFrame func(Frame)
	stop    chan struct{}
	done    chan struct{}
	err     error // why it ended; set before done closes
	leaving atomic.Bool

	writing sync.Mutex
	buf     []byte
	once    sync.Once
}

// CloseError is how the server ended a connection.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
}

// ErrGoodbye is why a connection ended whose server told to go elsewhere, when
// the time that it gave was over.
var ErrGoodbye = errors.New("the server is stopping: connect again")

// leave ends the connection when the server's goodbye says so. Until then it
// works as ever, unless the server closes it first.
func (s *Socket) leave(f Frame) {
	var goodbye wire.Goodbye
	if f.Into(&goodbye) != nil {
		return
	}
	go func() {
		select {
		case <-s.done:
		case <-time.After(time.Duration(goodbye.ReconnectAfterMS) * time.Millisecond):
			s.leaving.Store(true)
			s.Close()
		}
	}()
}

// maxServerFrame bounds what a server may send in one frame.
const maxServerFrame = 16 << 20

// Dial opens a socket. onFrame is called for each frame after hello, in order,
// from one goroutine; it may be called before Dial returns. The heartbeat is
// sent by the socket itself, at the pace that the server asks for.
func (c *Client) Dial(ctx context.Context, onFrame func(Frame)) (*Socket, error) {
	u := *c.base
	u.Scheme = "ws" + u.Scheme[len("http"):]
	u.Path += "/api/v1/socket"
	dialer := ws.Dialer{
		Protocols: []string{wire.Subprotocol},
		Header:    ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + c.token}}),
	}
	conn, br, hs, err := dialer.Dial(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open a socket to %s: %w", u.Host, err)
	}
	if hs.Protocol != wire.Subprotocol {
		_ = conn.Close()
		return nil, fmt.Errorf("open a socket to %s: the server does not speak %s", u.Host, wire.Subprotocol)
	}
	if br == nil {
		br = bufio.NewReaderSize(conn, 4096)
	}
	s := &Socket{conn: conn, onFrame: onFrame, stop: make(chan struct{}), done: make(chan struct{})}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	_ = conn.SetReadDeadline(deadline)
	p, err := s.next(br, nil)
	if err == nil {
		err = json.Unmarshal(p, &s.Hello)
	}
	if err == nil && s.Hello.T != "hello" {
		err = fmt.Errorf("the first frame is %q, not hello", s.Hello.T)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open a socket to %s: %w", u.Host, err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	go s.read(br)
	go s.beat()
	return s, nil
}

func (s *Socket) read(br *bufio.Reader) {
	defer close(s.done)
	defer func() { _ = s.conn.Close() }()
	// Two missed heartbeats mean that the server is gone.
	patience := 3 * time.Duration(s.Hello.Limits.HeartbeatMS) * time.Millisecond
	var buf []byte
	for {
		if patience > 0 {
			_ = s.conn.SetReadDeadline(time.Now().Add(patience))
		}
		p, err := s.next(br, buf)
		if err != nil {
			if s.err = err; s.leaving.Load() {
				s.err = ErrGoodbye
			}
			return
		}
		buf = p[:0]
		f := Frame{T: frameType(p), Raw: p}
		if f.T == "goodbye" {
			s.leave(f)
		}
		s.onFrame(f)
	}
}

// next reads a text message into buf, answering control frames on the way.
func (s *Socket) next(br *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		h, err := ws.ReadHeader(br)
		if err != nil {
			return nil, err
		}
		if h.Length > maxServerFrame {
			return nil, fmt.Errorf("the server sent a frame of %d bytes", h.Length)
		}
		if n := int(h.Length); cap(buf) < n {
			buf = make([]byte, n)
		} else {
			buf = buf[:n]
		}
		if _, err := io.ReadFull(br, buf); err != nil {
			return nil, err
		}
		switch h.OpCode {
		case ws.OpText:
			if !h.Fin {
				return nil, errors.New("the server sent a fragmented message")
			}
			return buf, nil
		case ws.OpPing:
			if err := s.write(ws.OpPong, buf); err != nil {
				return nil, err
			}
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(buf)
			return nil, &CloseError{Code: int(code), Reason: reason}
		}
	}
}

// frameType reads the value of "t", which this server writes first.
func frameType(p []byte) string {
	const start = `{"t":"`
	if bytes.HasPrefix(p, []byte(start)) {
		rest := p[len(start):]
		if i := bytes.IndexByte(rest, '"'); i >= 0 {
			return string(rest[:i])
		}
	}
	var head struct {
		T string `json:"t"`
	}
	_ = json.Unmarshal(p, &head)
	return head.T
}

func (s *Socket) beat() {
	if s.Hello.Limits.HeartbeatMS <= 0 {
		return
	}
	tick := time.NewTicker(time.Duration(s.Hello.Limits.HeartbeatMS) * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-s.done:
			return
		case <-tick.C:
			_ = s.Send(wire.Ping{T: "ping"})
		}
	}
}

// Send writes a frame. It blocks while the connection takes nothing.
func (s *Socket) Send(frame any) error {
	b, err := json.Marshal(frame)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	return s.SendRaw(b)
}

// SendRaw writes a frame that is encoded already.
func (s *Socket) SendRaw(p []byte) error { return s.write(ws.OpText, p) }

func (s *Socket) write(op ws.OpCode, p []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	h := ws.Header{Fin: true, OpCode: op, Masked: true, Mask: ws.NewMask(), Length: int64(len(p))}
	w := bytes.NewBuffer(s.buf[:0])
	if err := ws.WriteHeader(w, h); err != nil {
		return err
	}
	start := w.Len()
	w.Write(p)
	ws.Cipher(w.Bytes()[start:], h.Mask, 0)
	s.buf = w.Bytes()
	_, err := s.conn.Write(s.buf)
	return err
}

// Done closes when the connection has ended.
func (s *Socket) Done() <-chan struct{} { return s.done }

// Err is why the connection ended; only valid after Done.
func (s *Socket) Err() error { return s.err }

// Close ends the connection and waits until no frame is handed over any more.
// It must not be called from onFrame.
func (s *Socket) Close() {
	s.once.Do(func() {
		close(s.stop)
		_ = s.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
		_ = s.conn.Close()
	})
	<-s.done
}

// Cut breaks the connection off without a word, as a network does that is lost,
// and waits like Close.
func (s *Socket) Cut() {
	s.once.Do(func() {
		close(s.stop)
		_ = s.conn.Close()
	})
	<-s.done
}

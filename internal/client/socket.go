package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/wire"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

// Socket is a connection of hikyaku.v1. Send may be called concurrently.
//
// One goroutine reads it, its own or that of an event loop, and ends it. Others
// abort the connection, which the reader notices.
type Socket struct {
	Hello wire.Hello

	conn       net.Conn
	onFrame    func(Frame)
	onEnd      func(error)
	parser     wsframe.Parser // used by the reader
	readDone   bool           // the server closed, or violated the protocol; the reader ignores what follows
	done       chan struct{}
	err        error                 // why it ended; set before done closes
	reason     atomic.Pointer[error] // why this side ended it
	aborted    atomic.Bool
	closing    sync.Once
	heartbeats heartbeats

	writing sync.Mutex
	buf     []byte
}

// CloseError is the server's close frame.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
}

var (
	// ErrGoodbye is why a connection ended that the server had asked to
	// reconnect elsewhere, after the delay that it gave.
	ErrGoodbye = errors.New("the server is stopping: connect again")

	errClosed = fmt.Errorf("this end closed it: %w", net.ErrClosed)
)

// reader is a socket as its event loop sees it.
type reader Socket

// Data implements [eventloop.Reader].
func (r *reader) Data(p []byte) error { return (*Socket)(r).feed(p) }

// End implements [eventloop.Reader].
func (r *reader) End(err error) { (*Socket)(r).finish(err) }

// read reads a socket that has no event loop.
func (s *Socket) read() {
	err := s.feed(nil) // what came with hello
	buf := make([]byte, 4096)
	for err == nil {
		var n int
		if n, err = s.conn.Read(buf); n > 0 {
			if fed := s.feed(buf[:n]); fed != nil {
				err = fed
			}
		}
	}
	s.finish(err)
}

// feed handles bytes from the server, however they are split.
func (s *Socket) feed(p []byte) error {
	s.heartbeats.received()
	if s.readDone {
		return nil
	}
	err := s.parser.Feed(p, wsframe.FromServer, maxServerMessage, s.handle)
	var broken *wsframe.Error
	var closed *CloseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &broken):
		s.closeFromReader(broken.Code, broken.Reason, fmt.Errorf("the server broke the WebSocket protocol: %w", broken))
	case errors.As(err, &closed):
		code := closed.Code
		if code == wsframe.CodeNoStatus {
			code = wsframe.CodeNormal
		}
		s.closeFromReader(code, "", closed)
	default:
		return err
	}
	return nil
}

// closeFromReader ends the connection with a close frame. The reader must not
// wait for a writer, so another goroutine sends it and aborts the connection.
func (s *Socket) closeFromReader(code int, text string, reason error) {
	s.readDone, s.parser = true, wsframe.Parser{}
	s.reason.CompareAndSwap(nil, &reason)
	go s.closeWith(code, text, reason)
}

// handle handles a message or a control frame.
func (s *Socket) handle(op wsframe.Opcode, payload []byte) error {
	if s.aborted.Load() {
		return errClosed // no more frames are delivered
	}
	if op != wsframe.Text {
		return s.handleControl(op, payload)
	}
	s.deliver(payload)
	return nil
}

// deliver passes a frame to onFrame.
func (s *Socket) deliver(p []byte) {
	f := Frame{T: frameType(p), Raw: p}
	if f.T == "goodbye" {
		s.handleGoodbye(f)
	}
	s.onFrame(f)
}

// handleGoodbye closes the connection after the delay in the server's goodbye.
// Until then it works as before, unless the server closes it first.
func (s *Socket) handleGoodbye(f Frame) {
	var goodbye wire.Goodbye
	if f.Into(&goodbye) == nil {
		time.AfterFunc(time.Duration(goodbye.ReconnectAfterMS)*time.Millisecond, func() { s.close(ErrGoodbye) })
	}
}

// handleControl handles a frame that is not text.
func (s *Socket) handleControl(op wsframe.Opcode, payload []byte) error {
	switch op {
	case wsframe.Ping:
		p := append([]byte(nil), payload...)
		go func() { _ = s.write(wsframe.Pong, p) }() // a reader does not wait for a writer
	case wsframe.Close:
		code, reason, err := wsframe.ParseClose(payload)
		if err != nil {
			return err
		}
		return &CloseError{Code: code, Reason: reason}
	}
	return nil
}

// finish is the last call of the reader.
func (s *Socket) finish(err error) {
	if reason := s.reason.Load(); reason != nil {
		err = *reason
	}
	s.err = err
	s.heartbeats.stop()
	_ = s.conn.Close()
	if s.onEnd != nil {
		s.onEnd(err)
	}
	close(s.done)
}

// abort makes the reader end the connection, with the first reason that was
// given.
func (s *Socket) abort(reason error) {
	s.reason.CompareAndSwap(nil, &reason)
	s.aborted.Store(true)
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		// Only the reader closes it (see package eventloop).
		_ = tcp.CloseRead()
		_ = tcp.SetWriteDeadline(time.Unix(1, 0))
		return
	}
	_ = s.conn.Close()
}

// Send writes a frame. It blocks while the connection takes nothing.
func (s *Socket) Send(frame any) error {
	b, err := json.Marshal(frame)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	return s.SendRaw(b)
}

// SendRaw writes an encoded frame.
func (s *Socket) SendRaw(p []byte) error { return s.write(wsframe.Text, p) }

// maxKeptBuffer is the largest buffer that is kept for the next frame.
const maxKeptBuffer = 4 << 10

func (s *Socket) write(op wsframe.Opcode, p []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b := wsframe.AppendMasked(s.buf[:0], op, p)
	if cap(b) <= maxKeptBuffer {
		s.buf = b
	}
	_, err := s.conn.Write(b)
	return err
}

// Done returns a channel that is closed when the connection has ended.
func (s *Socket) Done() <-chan struct{} { return s.done }

// Err returns why the connection ended; it is valid after Done.
func (s *Socket) Err() error { return s.err }

// Close closes the connection and waits until no more frames are delivered. It
// must not be called from onFrame.
func (s *Socket) Close() { s.close(errClosed) }

// closeTimeout bounds the write of the close frame.
const closeTimeout = time.Second

func (s *Socket) close(reason error) { s.closeWith(wsframe.CodeNormal, "", reason) }

// closeWith sends a close frame. The reason is what Err returns.
func (s *Socket) closeWith(code int, text string, reason error) {
	s.closing.Do(func() {
		// Before the server can answer: its close frame is not the reason.
		s.reason.CompareAndSwap(nil, &reason)
		// Also for writers that are blocked.
		_ = s.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		_ = s.write(wsframe.Close, wsframe.ClosePayload(code, text))
		s.abort(reason)
	})
	<-s.done
}

// CloseNow breaks the connection off without a close handshake, as a lost
// network does, and waits like Close.
func (s *Socket) CloseNow() {
	s.closing.Do(func() { s.abort(errClosed) })
	<-s.done
}

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
	goodbye    *time.Timer // closes the connection after the server's goodbye; used by the reader
	// running counts the goroutines, except that of a loop, and the timers. All
	// are started before done closes.
	running sync.WaitGroup

	pinging sync.Mutex
	pings   [][]byte // unanswered ones
	ponging bool     // a goroutine answers them

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
	s.running.Go(func() { s.sendClose(code, text, reason) })
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
	switch f.T {
	case "goodbye":
		s.handleGoodbye(f)
	case "pong":
		s.rest(f)
	}
	if s.onFrame != nil {
		s.onFrame(f)
	}
}

// handleGoodbye closes the connection after the delay in the server's goodbye.
// Until then it works as before, unless the server closes it first.
func (s *Socket) handleGoodbye(f Frame) {
	var goodbye wire.Goodbye
	if f.Into(&goodbye) != nil || s.goodbye != nil {
		return
	}
	s.running.Add(1)
	s.goodbye = time.AfterFunc(time.Duration(goodbye.ReconnectAfterMS)*time.Millisecond, func() {
		defer s.running.Done()
		s.sendClose(wsframe.CodeNormal, "", ErrGoodbye)
	})
}

// handleControl handles a frame that is not text.
func (s *Socket) handleControl(op wsframe.Opcode, payload []byte) error {
	switch op {
	case wsframe.Ping:
		s.pong(payload)
	case wsframe.Close:
		code, reason, err := wsframe.ParseClose(payload)
		if err != nil {
			return err
		}
		return &CloseError{Code: code, Reason: reason}
	}
	return nil
}

// maxPings is the maximum number of unanswered pings. When there are more, the
// oldest is not answered (RFC 6455, 5.5.3).
const maxPings = 64

// pong answers a ping in another goroutine, because the reader must not wait for a
// writer. There is at most one such goroutine.
func (s *Socket) pong(payload []byte) {
	s.pinging.Lock()
	defer s.pinging.Unlock()
	if len(s.pings) == maxPings {
		s.pings = s.pings[1:]
	}
	s.pings = append(s.pings, append([]byte(nil), payload...))
	if !s.ponging {
		s.ponging = true
		s.running.Go(s.writePongs)
	}
}

func (s *Socket) writePongs() {
	for {
		s.pinging.Lock()
		pings := s.pings
		s.pings, s.ponging = nil, len(pings) > 0
		s.pinging.Unlock()
		if len(pings) == 0 {
			return
		}
		for _, p := range pings {
			_ = s.write(wsframe.Pong, p) // the reader detects a broken connection
		}
	}
}

// finish is the last call of the reader.
func (s *Socket) finish(err error) {
	if reason := s.reason.Load(); reason != nil {
		err = *reason
	}
	s.err = err
	s.stopHeartbeats()
	if s.goodbye != nil && s.goodbye.Stop() {
		s.running.Done()
	}
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
	if tcp, ok := s.conn.(interface {
		net.Conn
		CloseRead() error
	}); ok {
		// Only the reader closes it (see package eventloop).
		_ = tcp.CloseRead()
		_ = tcp.SetWriteDeadline(time.Unix(1, 0))
		return
	}
	_ = s.conn.Close()
}

// Send writes frames, all at once; a [json.RawMessage] is one already. It blocks while the connection takes nothing.
func (s *Socket) Send(frames ...any) error {
	encoded := make([][]byte, len(frames))
	for i, frame := range frames {
		if _, heartbeat := frame.(wire.Ping); !heartbeat {
			s.expectAnswer()
		}
		if raw, ok := frame.(json.RawMessage); ok {
			encoded[i] = raw
			continue
		}
		b, err := json.Marshal(frame)
		if err != nil {
			return fmt.Errorf("encode a frame: %w", err)
		}
		encoded[i] = b
	}
	return s.write(wsframe.Text, encoded...)
}

// SendRaw writes an encoded frame, as one that needs no answer soon.
func (s *Socket) SendRaw(p []byte) error { return s.write(wsframe.Text, p) }

// maxKeptBuffer is the largest buffer that is kept for the next frame.
const maxKeptBuffer = 4 << 10

// write writes frames by one system call.
func (s *Socket) write(op wsframe.Opcode, payloads ...[]byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b := s.buf[:0]
	for _, p := range payloads {
		b = wsframe.AppendMasked(b, op, p)
	}
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
func (s *Socket) Close() {
	s.sendClose(wsframe.CodeNormal, "", errClosed)
	s.wait()
}

// closeTimeout bounds the write of the close frame.
const closeTimeout = time.Second

// sendClose sends a close frame and has the reader end the connection. The reason
// is what Err returns.
func (s *Socket) sendClose(code int, text string, reason error) {
	s.closing.Do(func() {
		// Before the server can answer: its close frame is not the reason.
		s.reason.CompareAndSwap(nil, &reason)
		// Also for writers that are blocked.
		_ = s.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		_ = s.write(wsframe.Close, wsframe.ClosePayload(code, text))
		s.abort(reason)
	})
}

// CloseNow breaks the connection off without a close handshake, as a lost
// network does, and waits like Close.
func (s *Socket) CloseNow() {
	s.closing.Do(func() { s.abort(errClosed) })
	s.wait()
}

// wait waits until the reader and everything that it started has ended.
func (s *Socket) wait() {
	<-s.done
	s.running.Wait()
}

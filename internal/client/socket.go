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
// One goroutine reads it, its own or that of a loop, and ends it: whoever else
// wants it to end cuts it, and the reader sees that.
type Socket struct {
	Hello wire.Hello

	conn       net.Conn
	onFrame    func(Frame)
	onEnd      func(error)
	parser     wsframe.Parser // of the reader
	readDone   bool           // of the reader: the server closed, or broke the protocol; nothing after it counts
	done       chan struct{}
	err        error                 // why it ended; set before done closes
	reason     atomic.Pointer[error] // why this end wants it to end
	aborted    atomic.Bool
	closing    sync.Once
	heartbeats heartbeats

	writing sync.Mutex
	buf     []byte
}

// CloseError is how the server ended a connection.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
}

var (
	// ErrGoodbye is why a connection ended whose server told to go elsewhere,
	// when the time that it gave was over.
	ErrGoodbye = errors.New("the server is stopping: connect again")

	errClosed = fmt.Errorf("this end closed it: %w", net.ErrClosed)
)

// reader is a socket as its loop sees it.
type reader Socket

// Data implements [readloop.Reader].
func (r *reader) Data(p []byte) error { return (*Socket)(r).feed(p) }

// End implements [readloop.Reader].
func (r *reader) End(err error) { (*Socket)(r).finish(err) }

// read is the reader of a socket that no loop reads.
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

// feed handles bytes from the server, in whatever pieces they come.
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

// closeFromReader has the connection end with a close frame. A reader does not wait for
// a writer, so another goroutine sends it and cuts the connection.
func (s *Socket) closeFromReader(code int, text string, reason error) {
	s.readDone, s.parser = true, wsframe.Parser{}
	s.reason.CompareAndSwap(nil, &reason)
	go s.closeWith(code, text, reason)
}

// handle handles a message or a control frame.
func (s *Socket) handle(op wsframe.Opcode, payload []byte) error {
	if s.aborted.Load() {
		return errClosed // nothing more is handed over
	}
	if op != wsframe.Text {
		return s.handleControl(op, payload)
	}
	s.deliver(payload)
	return nil
}

// deliver hands a frame over.
func (s *Socket) deliver(p []byte) {
	f := Frame{T: frameType(p), Raw: p}
	if f.T == "goodbye" {
		s.handleGoodbye(f)
	}
	s.onFrame(f)
}

// handleGoodbye ends the connection when the server's goodbye says so. Until then it
// works as ever, unless the server closes it first.
func (s *Socket) handleGoodbye(f Frame) {
	var goodbye wire.Goodbye
	if f.Into(&goodbye) == nil {
		time.AfterFunc(time.Duration(goodbye.ReconnectAfterMS)*time.Millisecond, func() { s.close(ErrGoodbye) })
	}
}

// handleControl handles what is no text.
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

// finish is the reader's last act.
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

// abort has the reader end the connection, for the first reason that was given.
func (s *Socket) abort(reason error) {
	s.reason.CompareAndSwap(nil, &reason)
	s.aborted.Store(true)
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		// Not closed: that is the reader's to do (see package eventloop).
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

// SendRaw writes a frame that is encoded already.
func (s *Socket) SendRaw(p []byte) error { return s.write(wsframe.Text, p) }

// maxKeptBuffer is how large a buffer may be that is kept for the next frame.
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

// Done closes when the connection has ended.
func (s *Socket) Done() <-chan struct{} { return s.done }

// Err is why the connection ended; only valid after Done.
func (s *Socket) Err() error { return s.err }

// Close ends the connection and waits until no frame is handed over any more.
// It must not be called from onFrame.
func (s *Socket) Close() { s.close(errClosed) }

// closeTimeout is how long the server may take to be told of the end.
const closeTimeout = time.Second

func (s *Socket) close(reason error) { s.closeWith(wsframe.CodeNormal, "", reason) }

// closeWith tells the server of the end. The reason is what Err returns.
func (s *Socket) closeWith(code int, text string, reason error) {
	s.closing.Do(func() {
		// Before the server may answer: its close is not the reason.
		s.reason.CompareAndSwap(nil, &reason)
		// Also for those who are writing and get no further.
		_ = s.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		_ = s.write(wsframe.Close, wsframe.ClosePayload(code, text))
		s.abort(reason)
	})
	<-s.done
}

// CloseNow breaks the connection off without a word, as a network does that is lost,
// and waits like Close.
func (s *Socket) CloseNow() {
	s.closing.Do(func() { s.abort(errClosed) })
	<-s.done
}

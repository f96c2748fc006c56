package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Socket is a connection of hikyaku.v1. Send may be called concurrently.
//
// One goroutine reads it, its own or that of a loop, and ends it: whoever else
// wants it to end cuts it, and the reader sees that.
type Socket struct {
	Hello wire.Hello

	conn    net.Conn
	onFrame func(Frame)
	onEnd   func(error)
	partial []byte // of the reader: a frame of which not all has come
	done    chan struct{}
	err     error                 // why it ended; set before done closes
	reason  atomic.Pointer[error] // why this end wants it to end
	isCut   atomic.Bool
	closing sync.Once
	heart   heart

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
func (r *reader) End(err error) { (*Socket)(r).end(err) }

// read is the reader of a socket that no loop reads.
func (s *Socket) read(early []byte) {
	err := s.feed(early)
	buf := make([]byte, 4096)
	for err == nil {
		var n int
		if n, err = s.conn.Read(buf); n > 0 {
			if fed := s.feed(buf[:n]); fed != nil {
				err = fed
			}
		}
	}
	s.end(err)
}

// feed handles bytes from the server, in whatever pieces they come.
func (s *Socket) feed(p []byte) error {
	s.heart.heard()
	data := p
	if len(s.partial) > 0 {
		s.partial = append(s.partial, p...)
		data = s.partial
	}
	for len(data) > 0 {
		f, n, err := parse(data)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		data = data[n:]
		if s.isCut.Load() {
			return errClosed // nothing more is handed over
		}
		if f.op != ws.OpText {
			err = s.control(f)
		} else {
			s.take(f.payload)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case len(data) == 0:
		s.partial = nil // an idle connection keeps no buffer
	case len(s.partial) > 0 && len(data) == len(s.partial):
		// nothing was used; it is all there already
	default:
		s.partial = append(make([]byte, 0, max(len(data), 512)), data...)
	}
	return nil
}

// take hands a frame over.
func (s *Socket) take(p []byte) {
	f := Frame{T: frameType(p), Raw: p}
	if f.T == "goodbye" {
		s.leave(f)
	}
	s.onFrame(f)
}

// leave ends the connection when the server's goodbye says so. Until then it
// works as ever, unless the server closes it first.
func (s *Socket) leave(f Frame) {
	var goodbye wire.Goodbye
	if f.Into(&goodbye) == nil {
		time.AfterFunc(time.Duration(goodbye.ReconnectAfterMS)*time.Millisecond, func() { s.close(ErrGoodbye) })
	}
}

// control handles what is no text.
func (s *Socket) control(f raw) error {
	switch f.op {
	case ws.OpPing:
		p := append([]byte(nil), f.payload...)
		go func() { _ = s.write(ws.OpPong, p) }() // a reader does not wait for a writer
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(f.payload)
		return &CloseError{Code: int(code), Reason: reason}
	}
	return nil
}

// end is the reader's last act.
func (s *Socket) end(err error) {
	if reason := s.reason.Load(); reason != nil {
		err = *reason
	}
	s.err = err
	s.heart.stop()
	_ = s.conn.Close()
	if s.onEnd != nil {
		s.onEnd(err)
	}
	close(s.done)
}

// cut has the reader end the connection, for the first reason that was given.
func (s *Socket) cut(reason error) {
	s.reason.CompareAndSwap(nil, &reason)
	s.isCut.Store(true)
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		// Not closed: that is the reader's to do (see package readloop).
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
func (s *Socket) SendRaw(p []byte) error { return s.write(ws.OpText, p) }

// keepBuffer is how large a buffer may be that is kept for the next frame.
const keepBuffer = 4 << 10

func (s *Socket) write(op ws.OpCode, p []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b := appendFrame(s.buf[:0], op, p)
	if cap(b) <= keepBuffer {
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

// closePatience is how long the server may take to be told of the end.
const closePatience = time.Second

func (s *Socket) close(reason error) {
	s.closing.Do(func() {
		// Before the server may answer: its close is not the reason.
		s.reason.CompareAndSwap(nil, &reason)
		// Also for those who are writing and get no further.
		_ = s.conn.SetWriteDeadline(time.Now().Add(closePatience))
		_ = s.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
		s.cut(reason)
	})
	<-s.done
}

// Cut breaks the connection off without a word, as a network does that is lost,
// and waits like Close.
func (s *Socket) Cut() {
	s.closing.Do(func() { s.cut(errClosed) })
	<-s.done
}

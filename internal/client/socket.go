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

	conn    net.Conn
	onFrame func(Frame)
	onEnd   func(error)
	parser  wsframe.Parser // of the reader
	over    bool           // of the reader: the server closed, or broke the protocol; nothing after it counts
	done    chan struct{}
	err     error                 // why it ended; set before done closes
	reason  atomic.Pointer[error] // why this end wants it to end
	isCut   atomic.Bool
	closing sync.Once
	heart   heart
	leaving *time.Timer // of the server's goodbye; of the reader
	// running are the goroutines besides a loop's, and the timers. All are
	// started before done closes.
	running sync.WaitGroup

	pinging sync.Mutex
	pings   [][]byte // those without an answer
	ponging bool     // a goroutine answers them

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
	s.end(err)
}

// feed handles bytes from the server, in whatever pieces they come.
func (s *Socket) feed(p []byte) error {
	s.heart.heard()
	if s.over {
		return nil
	}
	err := s.parser.Feed(p, wsframe.FromServer, maxServerMessage, s.handle)
	var broken *wsframe.Error
	var closed *CloseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &broken):
		s.finish(broken.Code, broken.Reason, fmt.Errorf("the server broke the WebSocket protocol: %w", broken))
	case errors.As(err, &closed):
		code := closed.Code
		if code == wsframe.CodeNoStatus {
			code = wsframe.CodeNormal
		}
		s.finish(code, "", closed)
	default:
		return err
	}
	return nil
}

// finish has the connection end with a close frame. A reader does not wait for
// a writer, so another goroutine sends it and cuts the connection.
func (s *Socket) finish(code int, text string, reason error) {
	s.over, s.parser = true, wsframe.Parser{}
	s.reason.CompareAndSwap(nil, &reason)
	s.running.Go(func() { s.sendClose(code, text, reason) })
}

// handle handles a message or a control frame.
func (s *Socket) handle(op wsframe.Opcode, payload []byte) error {
	if s.isCut.Load() {
		return errClosed // nothing more is handed over
	}
	if op != wsframe.Text {
		return s.control(op, payload)
	}
	s.take(payload)
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
	if f.Into(&goodbye) != nil || s.leaving != nil {
		return
	}
	s.running.Add(1)
	s.leaving = time.AfterFunc(time.Duration(goodbye.ReconnectAfterMS)*time.Millisecond, func() {
		defer s.running.Done()
		s.sendClose(wsframe.CodeNormal, "", ErrGoodbye)
	})
}

// control handles what is no text.
func (s *Socket) control(op wsframe.Opcode, payload []byte) error {
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

// maxPings is how many pings may wait for their answer. When there are more, the
// oldest has none (RFC 6455, 5.5.3).
const maxPings = 64

// pong answers a ping, from another goroutine, because a reader does not wait
// for a writer. There is one such goroutine at most.
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
			_ = s.write(wsframe.Pong, p) // the reader sees when the connection is broken
		}
	}
}

// end is the reader's last act.
func (s *Socket) end(err error) {
	if reason := s.reason.Load(); reason != nil {
		err = *reason
	}
	s.err = err
	s.stopHeart()
	if s.leaving != nil && s.leaving.Stop() {
		s.running.Done()
	}
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

// keepBuffer is how large a buffer may be that is kept for the next frame.
const keepBuffer = 4 << 10

func (s *Socket) write(op wsframe.Opcode, p []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b := wsframe.AppendMasked(s.buf[:0], op, p)
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
func (s *Socket) Close() {
	s.sendClose(wsframe.CodeNormal, "", errClosed)
	s.wait()
}

// closePatience is how long the server may take to be told of the end.
const closePatience = time.Second

// sendClose tells the server of the end, and has the reader end the connection.
// The reason is what Err returns.
func (s *Socket) sendClose(code int, text string, reason error) {
	s.closing.Do(func() {
		// Before the server may answer: its close is not the reason.
		s.reason.CompareAndSwap(nil, &reason)
		// Also for those who are writing and get no further.
		_ = s.conn.SetWriteDeadline(time.Now().Add(closePatience))
		_ = s.write(wsframe.Close, wsframe.ClosePayload(code, text))
		s.cut(reason)
	})
}

// Cut breaks the connection off without a word, as a network does that is lost,
// and waits like Close.
func (s *Socket) Cut() {
	s.closing.Do(func() { s.cut(errClosed) })
	s.wait()
}

// wait waits until nothing of the socket is left.
func (s *Socket) wait() {
	<-s.done
	s.running.Wait()
}

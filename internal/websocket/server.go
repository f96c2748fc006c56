package websocket

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/eventloop"
	"github.com/hikyaku-chat/hikyaku/internal/linger"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

// Handler receives the messages and the end of a connection.
type Handler interface {
	// Frame is called for each frame that arrives, before anything is done with it:
	// control frames and parts of messages as well. size is that of its payload in
	// bytes, for the last part of a message that of the whole message, for those
	// before 0. When it returns false, nothing more is read from the client; the
	// handler has closed the connection, see [Conn.Close]. It must not block.
	Frame(c *Conn, size int) bool
	// Message is called for each whole text message, in order. p is valid
	// during the call only. It runs on a loop that serves many connections,
	// so it must not block.
	Message(c *Conn, p []byte)
	// Closed is called once, after the last Message. It must not block.
	Closed(c *Conn, reason error)
}

// Config has the limits of connections. Fields without a default must be set.
type Config struct {
	MaxMessage   int           // bytes of a message from a client, from 1
	MaxQueued    int           // bytes queued for one client, from 1; beyond it the connection is ended
	WriteTimeout time.Duration // a connection whose client reads nothing for so long is ended; above 0
	IdleTimeout  time.Duration // a connection whose client sends nothing for so long is ended; above 0
	Subprotocol  string        // clients must request it
	Loops        int           // event loops and flushers, from 1; default one for each CPU
	// Linger is how long what clients sent, and what is sent to them by
	// [Conn.SendSoon], waits for company; nil for not at all.
	Linger *linger.Linger
	// Shedding reports whether most of what clients send is refused at the moment; nil
	// for never. It must not block. While it does, loops read less often; see
	// [eventloop.Loop].
	Shedding func() bool
	Portable bool // read each connection with a goroutine, as on systems other than Linux
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	c.Loops = cmp.Or(c.Loops, runtime.GOMAXPROCS(0))
	return c
}

// Validate returns the first error of a field.
func (c Config) Validate() error {
	if c.Subprotocol == "" {
		return errors.New("subprotocol: none is given; give the one that clients must request")
	}
	return cmp.Or(
		setting.Between("max-message", c.MaxMessage, 1, math.MaxInt32, "bytes of a message, such as 131072"),
		setting.Between("max-queued", c.MaxQueued, 1, math.MaxInt32, "bytes queued for one client, such as 1048576"),
		setting.Between("write-timeout", c.WriteTimeout, 1, math.MaxInt64, "the time after which a client that reads nothing is disconnected, such as 10s"),
		setting.Between("idle-timeout", c.IdleTimeout, 1, math.MaxInt64, "the time after which a client that sends nothing is disconnected, such as 90s"),
		setting.Between("loops", c.Loops, 1, 1<<16, "a number of loops, such as 2"),
	)
}

// closeTimeout is how long a peer may take to answer a close frame.
const closeTimeout = 2 * time.Second

// Server serves WebSocket connections. See [NewServer]. Its methods may be called
// concurrently.
type Server struct {
	cfg   Config
	loops []*loop
	next  atomic.Uint32
	clock atomic.Int64 // nanoseconds since the start, updated by sweep

	mu        sync.Mutex
	conns     map[*Conn]struct{}
	closing   map[*Conn]struct{} // those of conns that a close frame was sent to
	closed    bool
	empty     chan struct{} // closed when closed and no connection is left
	stop      chan struct{}
	running   sync.WaitGroup
	closeOnce sync.Once
}

// NewServer starts a server. The caller must call Close.
func NewServer(cfg Config) (*Server, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, conns: map[*Conn]struct{}{}, closing: map[*Conn]struct{}{}, empty: make(chan struct{}), stop: make(chan struct{})}
	for i := range cfg.Loops {
		l := &loop{server: s, index: i, dirty: batching.NewQueue[*Conn]()}
		l.eventLoop.Linger, l.eventLoop.Shedding = cfg.Linger, cfg.Shedding
		s.loops = append(s.loops, l)
		s.running.Go(l.flush)
	}
	s.running.Go(s.sweep)
	return s, nil
}

// loop reads and writes a share of the connections.
type loop struct {
	server    *Server
	index     int                    // among the server's loops
	dirty     *batching.Queue[*Conn] // connections with queued frames
	eventLoop eventloop.Loop
	soon      soonList
	reads     batching.Meter // of frames
	writes    batching.Meter // of frames
	// flushed is what writes has not counted yet. Used by the flusher only.
	flushed struct{ writes, frames int }
}

// Reads returns how many pieces were read from clients, a system call each, and
// how many frames ended in them.
func (s *Server) Reads() (reads, frames uint64) {
	return s.sum(func(l *loop) *batching.Meter { return &l.reads })
}

// Writes returns how many system calls wrote to clients, and how many frames
// they wrote. What a slow client makes wait is not in it.
func (s *Server) Writes() (writes, frames uint64) {
	return s.sum(func(l *loop) *batching.Meter { return &l.writes })
}

func (s *Server) sum(of func(l *loop) *batching.Meter) (batches, items uint64) {
	for _, l := range s.loops {
		b, i := of(l).Totals()
		batches, items = batches+b, items+i
	}
	return batches, items
}

// reader is a connection as an [eventloop.Reader].
type reader Conn

// Data implements [eventloop.Reader].
func (r *reader) Data(p []byte) error { return (*Conn)(r).feed(p) }

// End implements [eventloop.Reader].
func (r *reader) End(err error) { (*Conn)(r).end(err) }

// attach starts to serve a connection whose upgrade was answered. received is
// what the client sent behind its request.
func (s *Server) attach(conn net.Conn, h Handler, received []byte) (*Conn, error) {
	l := s.loops[int(s.next.Add(1))%len(s.loops)]
	c := &Conn{server: s, loop: l, net: conn, handler: h}
	if c.raw = rawOf(conn); !s.cfg.Portable {
		c.net, c.raw = detach(conn, c.raw)
	}
	c.lastRead.Store(s.clock.Load())
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errors.Join(errServerClosed, c.net.Close())
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	// Nobody reads yet, so this goroutine may act as the reader.
	if len(received) > 0 {
		if err := c.feed(received); err != nil && err != eventloop.ErrStopReading { // which the loop is told as well
			c.end(err)
			return c, nil
		}
	}
	if s.cfg.Portable || c.raw == nil || !l.eventLoop.AddRaw(c.raw, (*reader)(c)) {
		s.running.Go(c.readLoop)
	}
	return c, nil
}

func (s *Server) removeConn(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	delete(s.closing, c)
	s.signalIfEmpty()
}

// watchClosing has sweep end a connection whose client does not answer the close frame.
func (s *Server) watchClosing(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.conns[c]; open {
		s.closing[c] = struct{}{}
	}
}

// signalIfEmpty closes s.empty when the server is closed and has no connection.
// s.mu must be held.
func (s *Server) signalIfEmpty() {
	if s.closed && len(s.conns) == 0 {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
}

// sweep updates the server's clock and ends connections whose client was silent
// for too long, or has not answered a close frame.
func (s *Server) sweep() {
	start := time.Now()
	tick := time.NewTicker(min(time.Second, s.cfg.IdleTimeout/4, closeTimeout/4))
	defer tick.Stop()
	var sw sweep
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		now := int64(time.Since(start))
		s.clock.Store(now)
		for _, c := range sw.overdue(s, now) {
			c.abort(errIdle)
		}
		clear(sw.found)
	}
}

// sweep looks at all connections only when one can have been silent for too long: at
// a million of them, looking at each twice a second would be most of what they cost.
type sweep struct {
	idleFrom int64 // no connection is overdue before, but those that are closing
	found    []*Conn
}

// overdue returns the connections that are overdue. now is the server's clock.
func (w *sweep) overdue(s *Server, now int64) []*Conn {
	w.found = w.found[:0]
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.closing {
		if c.closeOverdue(now) {
			w.found = append(w.found, c)
		}
	}
	if now < w.idleFrom {
		return w.found
	}
	oldest := now // when a client was heard last; those that connect from now on are newer
	for c := range s.conns {
		switch heard := c.lastRead.Load(); {
		case now-heard > int64(s.cfg.IdleTimeout):
			w.found = append(w.found, c)
		default:
			oldest = min(oldest, heard)
		}
	}
	w.idleFrom = oldest + int64(s.cfg.IdleTimeout)
	return w.found
}

// Close sends a close frame (going away) to every client, waits until they have
// disconnected or ctx ends, ends the remaining connections, and stops. It is
// idempotent. The error is always nil.
func (s *Server) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		all := s.stopAccepting()
		for _, c := range all {
			c.Close(wsframe.CodeGoingAway, "the server is stopping")
		}
		select {
		case <-s.empty:
		case <-ctx.Done():
			for _, c := range all {
				c.abort(errServerClosed)
			}
			<-s.empty
		}
		close(s.stop)
		for _, l := range s.loops {
			l.eventLoop.Wait()
		}
	})
	s.running.Wait()
	return nil
}

func (s *Server) stopAccepting() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.signalIfEmpty()
	all := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

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
	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

// Handler is the owner's end of a connection.
type Handler interface {
	// Message is called for each whole text message, in order. p is valid
	// during the call only. It runs on a loop that serves many connections,
	// so it must not block.
	Message(c *Conn, p []byte)
	// Closed is called once, after the last Message. It must not block.
	Closed(c *Conn, reason error)
}

// Config bounds what connections may cost. What has no default must be set.
type Config struct {
	MaxMessage   int           // bytes of a message from a client, from 1
	MaxQueued    int           // bytes waiting for one client, from 1; beyond it the client is cut off
	WriteTimeout time.Duration // a client that takes nothing for so long is cut off; above 0
	IdleTimeout  time.Duration // a client that sends nothing for so long is cut off; above 0
	Subprotocol  string        // that clients must ask for
	Loops        int           // loops and flushers, from 1; default one for each CPU
	Portable     bool          // a goroutine for each connection, as on other systems than Linux
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	c.Loops = cmp.Or(c.Loops, runtime.GOMAXPROCS(0))
	return c
}

// Validate returns the first error of a field.
func (c Config) Validate() error {
	if c.Subprotocol == "" {
		return errors.New("subprotocol: none is given; give the one that clients must ask for")
	}
	return cmp.Or(
		setting.Between("max-message", c.MaxMessage, 1, math.MaxInt32, "bytes of a message, such as 131072"),
		setting.Between("max-queued", c.MaxQueued, 1, math.MaxInt32, "bytes that may wait for one client, such as 1048576"),
		setting.Between("write-timeout", c.WriteTimeout, 1, math.MaxInt64, "the time after which a client that takes nothing is cut off, such as 10s"),
		setting.Between("idle-timeout", c.IdleTimeout, 1, math.MaxInt64, "the time after which a silent client is cut off, such as 90s"),
		setting.Between("loops", c.Loops, 1, 1<<16, "a number of loops, such as 2"),
	)
}

// closeTimeout is how long a peer may take to answer a close frame.
const closeTimeout = 2 * time.Second

// Server serves connections. See [NewServer].
type Server struct {
	cfg   Config
	loops []*loop
	next  atomic.Uint32
	clock atomic.Int64 // seconds since start, coarse

	mu      sync.Mutex
	conns   map[*Conn]struct{}
	closed  bool
	empty   chan struct{} // closed when closed and no connection is left
	stop    chan struct{}
	running sync.WaitGroup
	once    sync.Once
}

// NewServer starts a server. Close ends it.
func NewServer(cfg Config) (*Server, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, conns: map[*Conn]struct{}{}, empty: make(chan struct{}), stop: make(chan struct{})}
	for range cfg.Loops {
		l := &loop{server: s, dirty: batching.NewQueue[*Conn]()}
		s.loops = append(s.loops, l)
		s.running.Go(l.flush)
	}
	s.running.Go(s.sweep)
	return s, nil
}

// loop reads and writes for a part of the connections.
type loop struct {
	server  *Server
	dirty   *batching.Queue[*Conn] // those that have something to write
	reading eventloop.Loop
}

// reader is a connection as its loop sees it.
type reader Conn

// Data implements [eventloop.Reader].
func (r *reader) Data(p []byte) error { return (*Conn)(r).feed(p) }

// End implements [eventloop.Reader].
func (r *reader) End(err error) { (*Conn)(r).end(err) }

// attach serves a connection whose upgrade was answered.
func (s *Server) attach(conn net.Conn, h Handler, early []byte) (*Conn, error) {
	l := s.loops[int(s.next.Add(1))%len(s.loops)]
	c := &Conn{server: s, loop: l, net: conn, raw: rawOf(conn), handler: h}
	c.seen.Store(s.clock.Load())
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errors.Join(errServerClosed, conn.Close())
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	// Nobody else reads yet, so the reader's part can be played here.
	if len(early) > 0 {
		if err := c.feed(early); err != nil {
			c.end(err)
			return c, nil
		}
	}
	if s.cfg.Portable || !l.reading.Add(conn, (*reader)(c)) {
		s.running.Go(c.readAll)
	}
	return c, nil
}

func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.tellIfEmpty()
}

// tellIfEmpty closes empty when it is time. s.mu is held.
func (s *Server) tellIfEmpty() {
	if s.closed && len(s.conns) == 0 {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
}

// sweep keeps the coarse clock and cuts off who has been silent for too long.
func (s *Server) sweep() {
	begun := time.Now()
	tick := time.NewTicker(min(time.Second, s.cfg.IdleTimeout/4, closeTimeout/4))
	defer tick.Stop()
	var old []*Conn
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		now := int64(time.Since(begun))
		s.clock.Store(now)
		old = old[:0]
		s.mu.Lock()
		for c := range s.conns {
			if c.overdue(now) {
				old = append(old, c)
			}
		}
		s.mu.Unlock()
		for _, c := range old {
			c.cut(errIdle)
		}
		clear(old)
	}
}

// Close says going away to every client, waits until they are gone or ctx
// ends, cuts off the rest, and stops. It is idempotent.
func (s *Server) Close(ctx context.Context) error {
	s.once.Do(func() {
		all := s.refuseMore()
		for _, c := range all {
			c.Close(wsframe.CodeGoingAway, "the server is stopping")
		}
		select {
		case <-s.empty:
		case <-ctx.Done():
			for _, c := range all {
				c.cut(errServerClosed)
			}
			<-s.empty
		}
		close(s.stop)
		for _, l := range s.loops {
			l.reading.Wait()
		}
	})
	s.running.Wait()
	return nil
}

func (s *Server) refuseMore() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.tellIfEmpty()
	all := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

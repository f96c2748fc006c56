package eventloop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/linger"
	"github.com/hikyaku-chat/hikyaku/internal/precisetimer"
	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
)

const (
	// readBuffer is how many bytes are read from a connection at once.
	readBuffer = 64 << 10
	// maxEvents is how many connections are handled per call of epoll_wait.
	maxEvents = 256
	// restFactor is how many times as long as a round the rest after it is, and maxRest
	// how long at most: a ping is answered later by that.
	restFactor = 2
	maxRest    = 20 * time.Millisecond
)

// Loop reads connections. Its zero value is ready to use. It has a goroutine
// while it has connections. Its methods may be called concurrently.
type Loop struct {
	// Linger is how long what can be read waits for company; nil for not at all. It
	// is set before the first connection is added.
	Linger *linger.Linger
	// Shedding reports whether most of what is read is refused at the moment; nil for
	// never. The loop then rests after each round for twice as long as the round took,
	// to 20 ms: refusing takes a third of its processor while rounds take up to 10 ms, and
	// what gathers meanwhile is read at once. It is set before the first connection is
	// added, and must not block.
	Shedding func() bool

	mu      sync.Mutex
	poller  *poller // nil while there are no connections
	running sync.WaitGroup
}

// poller is an epoll instance and the goroutine that waits for it. A loop has one
// from its first connection until it has none.
//
// One epoll instance can watch another. The connections' one is watched by a second,
// the gate, and that by Go's network poller: so a waiting loop is a parked goroutine
// and blocks no thread, and while the gate is shut, what can be read wakes up nobody.
type poller struct {
	loop  *Loop
	epoll epollInstance  // watches the connections
	gate  epollInstance  // watches epoll while it is open
	open  bool           // whether the gate is
	conns map[int32]conn // by descriptor, guarded by the loop's mu; removed before it is closed

	// The following fields belong to the goroutine. The functions are stored
	// because a closure for each call would be an allocation.
	events   []unix.EpollEvent
	buf      []byte
	polled   time.Time // the begin of the last round
	full     bool      // the last round may have left something that was there already
	n        int
	err      error
	waitFunc func(fd uintptr) bool
	readFunc func(fd uintptr) bool
}

type conn struct {
	raw     syscall.RawConn
	reader  Reader
	stopped bool // nothing more is read, and any event is the end
}

// Add makes the loop read a connection, whose bytes must be those of its descriptor. It
// reports false when the loop cannot read this connection; the caller must then read it.
func (l *Loop) Add(c net.Conn, r Reader) bool {
	described, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := described.SyscallConn()
	if err != nil {
		return false
	}
	return l.AddRaw(raw, r)
}

// AddRaw is [Loop.Add] for the descriptor of a connection.
func (l *Loop) AddRaw(raw syscall.RawConn, r Reader) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	started := l.poller == nil
	var err error
	if started {
		if l.poller, err = newPoller(l); err != nil {
			return false
		}
	}
	added := false
	// The lock is held so that the goroutine cannot look the connection up
	// before it is in the table.
	err = raw.Control(func(fd uintptr) {
		// Level-triggered: each connection is read once per round, which is
		// fair, and unread bytes are reported again.
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}
		if added = l.poller.add(int(fd), &e); added {
			l.poller.conns[e.Fd] = conn{raw: raw, reader: r}
		}
	})
	if started {
		if !added {
			_ = l.poller.close()
			l.poller = nil
			return false
		}
		l.running.Go(l.poller.run)
	}
	return err == nil && added
}

// Wait blocks until the loop has no connections and its goroutine has ended.
func (l *Loop) Wait() { l.running.Wait() }

// epollInstance is an epoll descriptor and its file.
type epollInstance struct {
	fd   int
	file *os.File
	raw  syscall.RawConn
}

// newEpollInstance makes one that Go's network poller watches, or not.
func newEpollInstance(watched bool) (e epollInstance, err error) {
	if e.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return e, fmt.Errorf("make an epoll instance: %w", err)
	}
	// os.NewFile has the poller watch what does not block.
	if err := unix.SetNonblock(e.fd, watched); err != nil {
		return e, errors.Join(fmt.Errorf("make an epoll instance: %w", err), unix.Close(e.fd))
	}
	e.file = os.NewFile(uintptr(e.fd), "epoll")
	if e.raw, err = e.file.SyscallConn(); err != nil {
		return e, errors.Join(fmt.Errorf("watch an epoll instance: %w", err), e.file.Close())
	}
	return e, nil
}

func newPoller(l *Loop) (*poller, error) {
	r := &poller{loop: l, conns: map[int32]conn{}, events: make([]unix.EpollEvent, maxEvents), buf: make([]byte, readBuffer)}
	var err error
	if r.epoll, err = newEpollInstance(false); err != nil {
		return nil, err
	}
	if r.gate, err = newEpollInstance(true); err != nil {
		return nil, errors.Join(err, r.epoll.file.Close())
	}
	if err := r.setGate(unix.EPOLL_CTL_ADD, true); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.waitFunc = func(uintptr) bool {
		r.poll()
		if r.n == 0 && r.err == nil && !r.open {
			if r.err = r.setGate(unix.EPOLL_CTL_MOD, true); r.err == nil {
				r.poll() // what came before it was open
			}
		}
		return r.n > 0 || r.err != nil
	}
	r.readFunc = func(fd uintptr) bool {
		r.n, r.err = rawtcp.Read(fd, r.buf)
		return true
	}
	return r, nil
}

func (p *poller) close() error { return errors.Join(p.gate.file.Close(), p.epoll.file.Close()) }

// setGate opens or shuts the gate.
func (p *poller) setGate(op int, open bool) error {
	e := unix.EpollEvent{Fd: int32(p.epoll.fd)} //nolint:gosec // a descriptor
	if open {
		e.Events = unix.EPOLLIN
	}
	if err := unix.EpollCtl(p.gate.fd, op, p.epoll.fd, &e); err != nil {
		return fmt.Errorf("watch an epoll instance: %w", err)
	}
	p.open = open
	return nil
}

// poll looks which connections can be read now.
func (p *poller) poll() {
	p.n, p.err = rawtcp.Poll(uintptr(p.epoll.fd), p.events)
	if p.err == unix.EINTR {
		p.n, p.err = 0, nil
	}
}

// add registers a descriptor with the epoll instance.
func (p *poller) add(fd int, e *unix.EpollEvent) (added bool) {
	err := p.epoll.raw.Control(func(epoll uintptr) { added = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, e) == nil })
	return err == nil && added
}

func (p *poller) run() {
	defer func() { _ = p.close() }()
	for {
		// The goroutine is parked here until a connection is readable.
		if !p.pollAtDeparture() {
			if err := p.gate.raw.Read(p.waitFunc); err != nil || p.err != nil {
				return // cannot happen: nobody else uses the descriptor
			}
		}
		p.full = p.n == len(p.events)
		p.polled = time.Now()
		p.loop.Linger.Count(p.n, p.polled)
		for _, e := range p.events[:p.n] {
			p.loop.mu.Lock()
			c, ok := p.conns[e.Fd]
			p.loop.mu.Unlock()
			if !ok {
				continue // ended earlier in this round
			}
			err := p.readConn(c)
			if err == ErrStopReading {
				err = p.stopReading(e.Fd, c)
			}
			if err != nil && p.remove(e.Fd, c, err) {
				return
			}
		}
		p.rest()
		// While there is always more to read, this goroutine would keep its
		// processor for 10 ms at a time: writers and timers would wait.
		runtime.Gosched()
	}
}

// rest sleeps after a round whose work was to refuse.
func (p *poller) rest() {
	if p.loop.Shedding != nil && p.loop.Shedding() {
		time.Sleep(min(restFactor*time.Since(p.polled), maxRest))
	}
}

// pollAtDeparture waits for the departure of what has come since the last round, without
// being woken by it, and reports whether anything can be read then. It reports false at
// once while a wait does not pay, when the round took until the departure, or when it
// has not read all that was there.
func (p *poller) pollAtDeparture() bool {
	if p.full {
		return false
	}
	remaining := p.loop.Linger.Remaining(p.polled, time.Now())
	if remaining == 0 {
		return false
	}
	if p.open && p.setGate(unix.EPOLL_CTL_MOD, false) != nil {
		return false
	}
	precisetimer.Sleep(remaining)
	p.poll()
	return p.err == nil && p.n > 0
}

// readConn reads once from a connection.
func (p *poller) readConn(c conn) error {
	if c.stopped {
		return io.EOF
	}
	// The RawConn prevents that the descriptor is closed and reused meanwhile.
	err := c.raw.Read(p.readFunc)
	switch {
	case err != nil:
		return err
	case p.err == unix.EAGAIN, p.err == unix.EINTR:
		return nil
	case p.err != nil:
		return fmt.Errorf("read: %w", p.err)
	case p.n == 0:
		return io.EOF
	}
	p.full = p.full || p.n == len(p.buf)
	return c.reader.Data(p.buf[:p.n])
}

// stopReading leaves what a connection's peer sends in its socket. Of what happens
// to it only the end is of interest.
func (p *poller) stopReading(fd int32, c conn) error {
	e := unix.EpollEvent{Events: unix.EPOLLRDHUP, Fd: fd}
	var err error
	if rawErr := c.raw.Control(func(uintptr) { err = unix.EpollCtl(p.epoll.fd, unix.EPOLL_CTL_MOD, int(fd), &e) }); rawErr != nil {
		return rawErr
	}
	if err != nil {
		return fmt.Errorf("stop reading: %w", err)
	}
	c.stopped = true
	p.loop.mu.Lock()
	p.conns[fd] = c
	p.loop.mu.Unlock()
	return nil
}

// remove removes and ends a connection. It reports whether it was the last one;
// the poller then stops.
func (p *poller) remove(fd int32, c conn, reason error) (last bool) {
	l := p.loop
	l.mu.Lock()
	delete(p.conns, fd)
	if last = len(p.conns) == 0; last {
		l.poller = nil
	}
	l.mu.Unlock()
	c.reader.End(reason)
	return last
}

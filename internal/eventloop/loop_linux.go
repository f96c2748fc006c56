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

	"golang.org/x/sys/unix"
)

const (
	// readBuffer is how much is read from a connection at once.
	readBuffer = 64 << 10
	// atOnce is how many connections are looked at in one round.
	maxEvents = 256
)

// Loop reads connections. Its zero value is ready; it has a goroutine while it
// has connections. Its methods may be called concurrently.
type Loop struct {
	mu      sync.Mutex
	poller  *poller // nil without connections
	running sync.WaitGroup
}

// poller is a loop's time from its first connection until it has none.
//
// The epoll descriptor itself is handed to Go's own poller (one epoll instance
// can watch another), so a loop that waits costs a parked goroutine and no
// thread.
type poller struct {
	loop  *Loop
	file  *os.File
	raw   syscall.RawConn
	conns map[int32]conn // by descriptor, under the loop's mu; one is removed before it is closed

	// What follows is the goroutine's. The functions are kept because one that
	// is made for each call would be garbage each time.
	events   []unix.EpollEvent
	buf      []byte
	n        int
	err      error
	waitFunc func(fd uintptr) bool
	readFunc func(fd uintptr) bool
}

type conn struct {
	raw    syscall.RawConn
	reader Reader
}

// Add has the loop read a connection from now on. It tells whether it does:
// not when the connection is none that it can read.
func (l *Loop) Add(c net.Conn, r Reader) bool {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.poller == nil
	if fresh {
		if l.poller, err = newPoller(l); err != nil {
			return false
		}
	}
	added := false
	// The lock is held, so that the goroutine does not look for the connection
	// before it is in the table.
	err = raw.Control(func(fd uintptr) {
		// Level-triggered: one read for each connection and round is fair,
		// and what is left is told again.
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}
		if added = l.poller.add(int(fd), &e); added {
			l.poller.conns[e.Fd] = conn{raw: raw, reader: r}
		}
	})
	if fresh {
		if !added {
			_ = l.poller.file.Close()
			l.poller = nil
			return false
		}
		l.running.Go(l.poller.run)
	}
	return err == nil && added
}

// Wait returns when the loop has no connections and its goroutine has ended.
func (l *Loop) Wait() { l.running.Wait() }

func newPoller(l *Loop) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("make an epoll instance: %w", err), unix.Close(fd))
	}
	r := &poller{
		loop: l, file: os.NewFile(uintptr(fd), "epoll"), conns: map[int32]conn{},
		events: make([]unix.EpollEvent, maxEvents), buf: make([]byte, readBuffer),
	}
	if r.raw, err = r.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch an epoll instance: %w", err), r.file.Close())
	}
	r.waitFunc = func(fd uintptr) bool {
		r.n, r.err = unix.EpollWait(int(fd), r.events, 0)
		if errors.Is(r.err, unix.EINTR) {
			r.n, r.err = 0, nil
		}
		return r.n > 0 || r.err != nil
	}
	r.readFunc = func(fd uintptr) bool {
		r.n, r.err = unix.Read(int(fd), r.buf)
		return true
	}
	return r, nil
}

// add has the epoll instance watch a descriptor.
func (r *poller) add(fd int, e *unix.EpollEvent) (added bool) {
	err := r.raw.Control(func(epoll uintptr) { added = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, e) == nil })
	return err == nil && added
}

func (r *poller) run() {
	defer func() { _ = r.file.Close() }()
	for {
		// It parks here until something has come.
		if err := r.raw.Read(r.waitFunc); err != nil || r.err != nil {
			return // not without a fault of this package: nobody else has the descriptor
		}
		for _, e := range r.events[:r.n] {
			r.loop.mu.Lock()
			c, ok := r.conns[e.Fd]
			r.loop.mu.Unlock()
			if !ok {
				continue // ended earlier in this round
			}
			if err := r.readConn(c); err != nil && r.remove(e.Fd, c, err) {
				return
			}
		}
		// While there is always more to read, nobody else would have this
		// processor for 10 ms at a time: not those who write, and not timers.
		runtime.Gosched()
	}
}

// readConn takes what has come, once.
func (r *poller) readConn(c conn) error {
	// Through the RawConn, which keeps the descriptor from being closed and
	// used anew meanwhile.
	err := c.raw.Read(r.readFunc)
	switch {
	case err != nil:
		return err
	case r.err == unix.EAGAIN, r.err == unix.EINTR:
		return nil
	case r.err != nil:
		return fmt.Errorf("read: %w", r.err)
	case r.n == 0:
		return io.EOF
	}
	return c.reader.Data(r.buf[:r.n])
}

// remove ends a connection. The last one ends the round.
func (r *poller) remove(fd int32, c conn, why error) (last bool) {
	l := r.loop
	l.mu.Lock()
	delete(r.conns, fd)
	if last = len(r.conns) == 0; last {
		l.poller = nil
	}
	l.mu.Unlock()
	c.reader.End(why)
	return last
}

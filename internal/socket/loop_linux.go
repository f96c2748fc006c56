package socket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// readBuffer is how much is read from a connection at once.
const readBuffer = 64 << 10

// loop reads many connections through one epoll instance, and writes for them.
//
// The epoll descriptor itself is handed to Go's own poller (one epoll instance
// can watch another), so a loop that waits costs a parked goroutine and no
// thread.
type loop struct {
	server *Server
	dirty  dirty
	file   *os.File
	raw    syscall.RawConn
	fd     int

	mu    sync.Mutex
	conns map[int32]*Conn // by descriptor; one is removed before it is closed
}

func newLoop(s *Server) (*loop, error) {
	l := &loop{server: s, dirty: dirty{wake: make(chan struct{}, 1)}, conns: map[int32]*Conn{}}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("make an epoll instance: %w", err), unix.Close(fd))
	}
	l.fd, l.file = fd, os.NewFile(uintptr(fd), "epoll")
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch an epoll instance: %w", err), l.file.Close())
	}
	s.running.Go(l.run)
	return l, nil
}

// add has the loop read a connection; false when it cannot.
func (l *loop) add(c *Conn) bool {
	if c.raw == nil {
		return false
	}
	added := false
	err := c.raw.Control(func(fd uintptr) {
		l.mu.Lock()
		l.conns[int32(fd)] = c
		l.mu.Unlock()
		// Level-triggered: one read for each connection and round is fair,
		// and what is left is told again.
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}
		if unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, int(fd), &e) == nil {
			added = true
			return
		}
		l.mu.Lock()
		delete(l.conns, int32(fd))
		l.mu.Unlock()
	})
	return err == nil && added
}

// rawOf gives the descriptor of a plain TCP connection, nil for any other.
func rawOf(conn net.Conn) syscall.RawConn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

func (l *loop) run() {
	events := make([]unix.EpollEvent, 256)
	buf := make([]byte, readBuffer)
	for {
		n, err := l.wait(events)
		if err != nil {
			return // closed
		}
		for _, e := range events[:n] {
			l.mu.Lock()
			c := l.conns[e.Fd]
			l.mu.Unlock()
			if c == nil {
				continue // ended earlier in this round
			}
			if err := l.read(c, buf); err != nil {
				l.mu.Lock()
				delete(l.conns, e.Fd)
				l.mu.Unlock()
				c.end(err)
			}
		}
	}
}

// wait parks until connections can be read.
func (l *loop) wait(events []unix.EpollEvent) (n int, err error) {
	waitErr := l.raw.Read(func(fd uintptr) bool {
		n, err = unix.EpollWait(int(fd), events, 0)
		if errors.Is(err, unix.EINTR) {
			n, err = 0, nil
		}
		return n > 0 || err != nil
	})
	return n, errors.Join(waitErr, err)
}

// read takes what has come, once.
func (l *loop) read(c *Conn, buf []byte) error {
	var n int
	var err error
	// Through the RawConn, which keeps the descriptor from being closed and
	// used anew meanwhile.
	rawErr := c.raw.Read(func(fd uintptr) bool {
		n, err = unix.Read(int(fd), buf)
		return true
	})
	switch {
	case rawErr != nil:
		return rawErr
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return fmt.Errorf("%w: %w", errPeerClosed, io.EOF)
	}
	return c.feed(buf[:n])
}

func (l *loop) close() { _ = l.file.Close() }

// writeNow writes what the socket takes without waiting.
func (c *Conn) writeNow(p []byte) (n int, err error) {
	if c.raw == nil {
		return 0, nil // the lagging writer brings it out
	}
	rawErr := c.raw.Write(func(fd uintptr) bool {
		n, err = unix.Write(int(fd), p)
		return true
	})
	switch {
	case rawErr != nil:
		return 0, rawErr
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return max(n, 0), nil
	case err != nil:
		return 0, fmt.Errorf("write: %w", err)
	}
	return n, nil
}

// shutdown makes the reader see the end.
func (c *Conn) shutdown() {
	if c.raw == nil {
		_ = c.net.Close()
		return
	}
	_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
}

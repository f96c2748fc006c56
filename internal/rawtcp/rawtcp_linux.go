package rawtcp

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads from a descriptor that does not block, once.
func Read(fd uintptr, p []byte) (n int, err error) { return call(unix.SYS_READ, fd, p) }

// Write writes to a descriptor that does not block, once.
func Write(fd uintptr, p []byte) (n int, err error) { return call(unix.SYS_WRITE, fd, p) }

func call(number, fd uintptr, p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	r, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil //nolint:gosec // at most len(p)
}

// Poll returns which descriptors of an epoll instance are ready now. It does not wait.
func Poll(epoll uintptr, events []unix.EpollEvent) (n int, err error) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil //nolint:gosec // at most len(events)
}

// New returns a connection that uses raw calls for c. It returns c itself unless c is a
// TCP connection.
func New(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	r := &conn{TCPConn: tcp, raw: raw}
	r.reader.do, r.writer.do = r.reader.read, r.writer.write
	return r
}

// conn is a TCP connection that is read and written by raw calls.
type conn struct {
	*net.TCPConn
	raw            syscall.RawConn
	reader, writer transfer
}

// transfer is a read or write in progress. Its function is kept: a closure for each
// call would be an allocation.
type transfer struct {
	mu  sync.Mutex
	p   []byte
	n   int
	err error
	do  func(fd uintptr) (done bool)
}

func (t *transfer) read(fd uintptr) bool {
	for {
		if t.n, t.err = Read(fd, t.p); t.err != unix.EINTR {
			return t.err != unix.EAGAIN
		}
	}
}

// write writes until everything is written, or the connection takes no more now.
func (t *transfer) write(fd uintptr) bool {
	for t.n < len(t.p) {
		n, err := Write(fd, t.p[t.n:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err != nil:
			t.err = err
			return true
		}
		t.n += n
	}
	return true
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	t := &c.reader
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p, t.n, t.err = p, 0, nil
	err := c.raw.Read(t.do)
	t.p = nil
	switch {
	case err != nil:
		return 0, err
	case t.err != nil:
		return 0, c.wrap("read", t.err)
	case t.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return t.n, nil
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (int, error) {
	t := &c.writer
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p, t.n, t.err = p, 0, nil
	err := c.raw.Write(t.do)
	t.p = nil
	switch {
	case err != nil:
		return t.n, err
	case t.err != nil:
		return t.n, c.wrap("write", t.err)
	}
	return t.n, nil
}

func (c *conn) wrap(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}

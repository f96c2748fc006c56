package websocket

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor is a TCP connection that Go's network poller does not know. So an idle
// connection has neither the poller's structures, which take twice the memory of those
// of this package, nor those of package net; and what arrives wakes the event loop
// alone.
//
// Only Read and Write may have to wait. The poller knows the connection meanwhile, by
// another descriptor.
//
// Only the reader reads and closes, one goroutine at a time; the rest may be called
// concurrently.
type descriptor struct {
	mu     sync.Mutex // held while fd is used, so that it is not closed and reused meanwhile
	fd     int32      // -1 once it is closed; written by the reader alone
	reads  bool       // Read is used, and needs waiter all the time
	waiter *os.File   // nil while nobody has to wait
}

// detach takes a TCP connection, whose raw connection is given, out of Go's network
// poller; conn is closed then. It returns both as they are when raw is nil, or when
// there is no second descriptor at the moment.
func detach(conn net.Conn, raw syscall.RawConn) (transport, syscall.RawConn) {
	if raw == nil {
		return conn, nil
	}
	var fd int
	var err error
	if rawErr := raw.Control(func(attached uintptr) { fd, err = duplicate(attached) }); rawErr != nil || err != nil {
		return conn, raw
	}
	_ = conn.Close()                // the connection goes on: it has another descriptor
	d := &descriptor{fd: int32(fd)} //nolint:gosec // a descriptor is an int of C
	return d, (*rawDescriptor)(d)
}

// duplicate returns another descriptor of a socket. It does not block either: that is
// a property of the socket.
func duplicate(fd uintptr) (int, error) { return unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }

// wait returns the connection as the poller knows it.
func (d *descriptor) wait() (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return nil, net.ErrClosed
	}
	if d.waiter == nil {
		fd, err := duplicate(uintptr(d.fd))
		if err != nil {
			return nil, fmt.Errorf("wait for a client: %w", err)
		}
		d.waiter = os.NewFile(uintptr(fd), "client")
	}
	return d.waiter, nil
}

// Read implements [transport].
func (d *descriptor) Read(p []byte) (int, error) {
	d.mu.Lock()
	d.reads = true
	d.mu.Unlock()
	f, err := d.wait()
	if err != nil {
		return 0, err
	}
	return f.Read(p)
}

// Write implements [transport].
func (d *descriptor) Write(p []byte) (int, error) {
	f, err := d.wait()
	if err != nil {
		return 0, err
	}
	return f.Write(p)
}

// SetWriteDeadline implements [transport]. Without a deadline nobody waits any more.
func (d *descriptor) SetWriteDeadline(t time.Time) error {
	if t.IsZero() && d.endWait() {
		return nil
	}
	f, err := d.wait()
	if err != nil {
		return err
	}
	return f.SetWriteDeadline(t)
}

// endWait takes the connection out of the poller, and reports whether it could.
func (d *descriptor) endWait() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reads {
		return false
	}
	if d.waiter != nil {
		_ = d.waiter.Close()
		d.waiter = nil
	}
	return true
}

// Close implements [transport].
func (d *descriptor) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return net.ErrClosed
	}
	if d.waiter != nil {
		_ = d.waiter.Close() // wakes those who wait
	}
	err := unix.Close(int(d.fd))
	d.fd = -1
	return err
}

// rawDescriptor is a descriptor as a [syscall.RawConn]. It calls a function once,
// whether that says that it is done or not.
type rawDescriptor descriptor

// Control implements [syscall.RawConn].
func (d *rawDescriptor) Control(f func(fd uintptr)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(d.fd))
	return nil
}

// Write implements [syscall.RawConn].
func (d *rawDescriptor) Write(f func(fd uintptr) bool) error {
	return d.Control(func(fd uintptr) { f(fd) })
}

// Read implements [syscall.RawConn]. It needs no lock, because only the reader
// closes, and does not wait for a write.
func (d *rawDescriptor) Read(f func(fd uintptr) bool) error {
	if d.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(d.fd))
	return nil
}

package websocket

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
)

// rawOf returns the descriptor of a plain TCP connection, nil for any other.
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

// tryWrite writes what the kernel accepts without blocking.
func (c *Conn) tryWrite(p []byte) (n int, err error) {
	if c.raw == nil {
		return 0, nil // the blocking writer writes it
	}
	rawErr := c.raw.Write(func(fd uintptr) bool {
		n, err = rawtcp.Write(fd, p)
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

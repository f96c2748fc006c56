package client

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bindWithoutPort has a socket that is bound to an address alone get its port
// when it connects (IP_BIND_ADDRESS_NO_PORT, ip(7)). At bind the kernel does not
// know yet where to: a port would then serve one destination, and once half of an
// address's ports are taken the kernel tries thousands before it finds one.
func bindWithoutPort(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		// A kernel without it, before 4.2, only takes longer.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) //nolint:gosec // a descriptor
	})
}

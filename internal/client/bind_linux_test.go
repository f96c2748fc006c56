package client

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What connects from an address gets its port when it connects, by IPv4 and IPv6.
func TestPortIsChosenByConnect(t *testing.T) {
	for _, at := range []string{"127.0.0.9", "::1"} {
		t.Run(at, func(t *testing.T) {
			source := netip.MustParseAddr(at)
			server, err := new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(source, 0).String())
			if err != nil {
				t.Skip(err) // a machine without IPv6
			}
			defer func() { _ = server.Close() }()
			conn, err := dialerFrom(source).DialContext(t.Context(), "tcp", server.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			local := conn.LocalAddr().(*net.TCPAddr).AddrPort() //nolint:forcetypeassert // TCP
			if local.Addr() != source || local.Port() == 0 {
				t.Errorf("it comes from %s", local)
			}
			raw, err := conn.(syscall.Conn).SyscallConn() //nolint:forcetypeassert // TCP
			if err != nil {
				t.Fatal(err)
			}
			var set int
			var failed error
			if err := raw.Control(func(fd uintptr) { set, failed = unix.GetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT) }); err != nil || failed != nil {
				t.Fatal(err, failed)
			}
			if set != 1 {
				t.Error("the port was chosen before the destination was known")
			}
		})
	}
}

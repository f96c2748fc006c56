//go:build !linux

package eventloop

import (
	"net"
	"syscall"

	"github.com/hikyaku-chat/hikyaku/internal/linger"
)

// Loop reads connections on Linux only.
type Loop struct {
	Linger   *linger.Linger // not used
	Shedding func() bool    // not used
}

// Add returns false.
func (*Loop) Add(net.Conn, Reader) bool { return false }

// AddRaw returns false.
func (*Loop) AddRaw(syscall.RawConn, Reader) bool { return false }

// Wait returns at once.
func (*Loop) Wait() {}

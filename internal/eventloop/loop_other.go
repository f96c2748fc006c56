//go:build !linux

package eventloop

import "net"

// Loop reads connections on Linux only.
type Loop struct{}

// Add returns false.
func (*Loop) Add(net.Conn, Reader) bool { return false }

// Wait returns at once.
func (*Loop) Wait() {}

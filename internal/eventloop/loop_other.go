//go:build !linux

package eventloop

import "net"

// Loop reads connections on Linux alone.
type Loop struct{}

// Add says no.
func (*Loop) Add(net.Conn, Reader) bool { return false }

// Wait returns at once.
func (*Loop) Wait() {}

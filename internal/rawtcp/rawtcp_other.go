//go:build !linux

package rawtcp

import "net"

// New returns c: there are no raw calls on this system.
func New(c net.Conn) net.Conn { return c }

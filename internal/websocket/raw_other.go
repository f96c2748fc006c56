//go:build !linux

package websocket

import (
	"net"
	"syscall"
)

func rawOf(net.Conn) syscall.RawConn { return nil }

// writeNow leaves all to the lagging writer, which may block.
func (c *Conn) writeNow([]byte) (int, error) { return 0, nil }

func (c *Conn) shutdown() { _ = c.net.Close() }

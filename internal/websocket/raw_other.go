//go:build !linux

package websocket

import (
	"net"
	"syscall"
)

func rawOf(net.Conn) syscall.RawConn { return nil }

// tryWrite leaves all to the blocking writer.
func (c *Conn) tryWrite([]byte) (int, error) { return 0, nil }

func (c *Conn) shutdown() { _ = c.net.Close() }

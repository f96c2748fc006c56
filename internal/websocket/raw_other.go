//go:build !linux

package websocket

import (
	"net"
	"syscall"
)

func rawOf(net.Conn) syscall.RawConn { return nil }

func detach(conn net.Conn, raw syscall.RawConn) (transport, syscall.RawConn) { return conn, raw }

// tryWrite leaves all to the blocking writer.
func (c *Conn) tryWrite([]byte) (int, error) { return 0, nil }

func (c *Conn) shutdown() { _ = c.net.Close() }

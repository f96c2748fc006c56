//go:build !linux

package socket

import (
	"net"
	"syscall"
)

// loop only writes here; a goroutine reads each connection.
type loop struct {
	server *Server
	dirty  dirty
}

func newLoop(s *Server) (*loop, error) {
	return &loop{server: s, dirty: dirty{wake: make(chan struct{}, 1)}}, nil
}

func (l *loop) add(*Conn) bool { return false }

func (l *loop) close() {}

func rawOf(net.Conn) syscall.RawConn { return nil }

// writeNow leaves all to the lagging writer, which may block.
func (c *Conn) writeNow([]byte) (int, error) { return 0, nil }

func (c *Conn) shutdown() { _ = c.net.Close() }

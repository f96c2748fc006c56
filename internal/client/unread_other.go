//go:build !unix

package client

import "net"

// unread reports false where it cannot be determined.
func unread(net.Conn) bool { return false }

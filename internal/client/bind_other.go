//go:build !linux

package client

import "syscall"

// bindWithoutPort has no effect here.
func bindWithoutPort(string, string, syscall.RawConn) error { return nil }

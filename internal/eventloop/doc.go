// Package eventloop reads many TCP connections on one goroutine, so that an idle
// connection needs neither a goroutine nor a buffer. It is implemented for Linux
// (epoll). On other systems, and for connections without a descriptor, such as
// those of TLS, [Loop.Add] returns false, and the caller must read with a goroutine.
//
// Where many connections have something at a time, the loop is woken by the clock, not
// by them (package linger).
//
// # Invariants
//
//   - Only the loop calls a reader, and never two of a loop at the same time.
//   - Only the reader's End closes a connection that a loop reads. To end a
//     connection, shut it down ([syscall.SHUT_RD] is enough); the loop sees the
//     end. So a loop never uses a descriptor that was reused.
package eventloop

import "errors"

// ErrStopReading is returned by [Reader.Data] to have nothing more read. The
// connection stays open until it is shut down, or its peer closes it.
var ErrStopReading = errors.New("eventloop: stop reading")

// Reader handles the bytes of a connection. Its methods must not block: all
// connections of the loop wait for them.
type Reader interface {
	// Data handles received bytes, in order. It may change p, which is valid
	// during the call only. An error other than ErrStopReading ends the connection.
	Data(p []byte) error
	// End is the last call. err is that of Data, that of the connection, or
	// io.EOF when the peer closed it. End must close the connection.
	End(err error)
}

// Package eventloop reads many TCP connections on one goroutine, so that one
// that is idle costs neither a goroutine nor a buffer. It is there on Linux
// (epoll); elsewhere, and for connections that are not plain TCP, [Loop.Add]
// says no, and a goroutine must read.
//
// # Invariants
//
//   - Only the loop calls a reader, and never two of a loop at the same time.
//   - Nobody but the reader's End closes a connection that a loop reads. Who
//     wants it gone shuts it down ([syscall.SHUT_RD] is enough); the loop sees
//     the end. So a loop never acts on a descriptor that is used anew.
package eventloop

// Reader takes what comes on a connection. Its methods must not block: they
// keep all connections of the loop waiting.
type Reader interface {
	// Data takes what has come, in order. p may be changed, and is valid during
	// the call only. An error ends the reading.
	Data(p []byte) error
	// End is the last call. The error is that of Data, that of the connection,
	// or io.EOF when the peer closed it. It must close the connection.
	End(err error)
}

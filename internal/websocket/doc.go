// Package websocket serves WebSocket connections (RFC 6455) that cost next to
// nothing while they are idle.
//
// On Linux a few loops (package eventloop) read all connections: an idle
// connection has no goroutine and no buffer. Elsewhere, and for connections that are not
// plain TCP, a goroutine reads each one. Writing is the same for both: what is
// sent gathers in a bounded queue, and a flusher writes all that gathered in
// one call; only a connection whose peer does not keep up gets a goroutine, for
// as long as it lags.
//
// # Invariants
//
//   - Only the reader of a connection (its loop, or its goroutine) touches the
//     parser's state, calls Message, and calls Closed, once, at the end.
//   - Whoever wants a connection gone cuts it: it shuts the TCP connection
//     down, the reader sees the end, and the reader closes the descriptor. No
//     one else closes it, so a loop never acts on a descriptor used anew.
//   - A connection is on its flusher's list, or has a lagging writer, exactly
//     while Conn.writing is true.
package websocket

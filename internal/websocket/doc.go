// Package websocket is a WebSocket server (RFC 6455) for many connections that
// are idle most of the time.
//
// On Linux a few event loops (package eventloop) read all connections: an idle
// connection has no goroutine and no buffer. On other systems, and for
// connections that are not plain TCP, a goroutine reads each one. Writing is the
// same for both: frames are added to a bounded queue, and a flusher writes all
// queued frames in one call. Only a connection whose peer reads too slowly gets a
// goroutine of its own (a blocking writer), until the peer has caught up.
//
// Go's network poller does not know the connections that loops read, and package net
// has closed them: they go on under another descriptor (see descriptor). Only while
// there is a blocking writer does the poller know a connection, by a second one.
//
// # Invariants
//
//   - Only the reader of a connection (its loop, or its goroutine) touches the
//     parser's state, calls Message, and calls Closed, once, at the end.
//   - A connection is ended by abort: it shuts the TCP connection down, the
//     reader sees the end, and the reader closes the descriptor. Nobody else
//     closes it, so a loop never uses a descriptor that was reused.
//   - A connection is on its flusher's list, or has a blocking writer, exactly
//     while Conn.writing is true. A queue that waits for company ([Conn.SendSoon])
//     is not empty while it is false, and the connection is on its loop's list soon.
package websocket

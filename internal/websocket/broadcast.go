package websocket

import "slices"

// broadcastChunk is how many connections are handed to the flushers at once: enough to
// share a wake-up, and few enough for the flushers to begin early.
const broadcastChunk = 512

// Broadcast sends a frame to many connections of one server, to each as [Conn.Send]
// does. It costs less: the queues are one allocation, and the flushers are woken once
// for many connections.
func Broadcast(conns []*Conn, f Frame) {
	if len(conns) == 0 {
		return
	}
	loops := conns[0].server.loops
	queues := make([][]byte, len(conns))
	dirty := make([][]*Conn, len(loops))
	for chunk := range slices.Chunk(conns, broadcastChunk) {
		for i, c := range chunk {
			if c.put(f, false, queues[i:i:i+1]) == putFirst {
				dirty[c.loop.index] = append(dirty[c.loop.index], c)
			}
		}
		queues = queues[len(chunk):]
		for i, l := range loops {
			l.dirty.Add(dirty[i]...)
			dirty[i] = dirty[i][:0]
		}
	}
}

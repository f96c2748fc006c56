// Package load puts a chat system under load and measures it. Virtual users
// send messages at the times that a rate gives, whatever the system does (an
// open loop), so a system that falls behind shows as latency. Latency counts
// from the time when a message was due, not from when it was sent; how late the
// generator itself was is measured separately (lag).
//
// The path of a message: the pacer's goroutine records it in the audit and
// sends it. A connection's goroutine receives the answer and the receipts, and
// records them in the audit and in the recording of the current phase. After
// the run the audit is checked.
package load

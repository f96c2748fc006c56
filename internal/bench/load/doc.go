// Package load puts a chat system under load and measures it: people who send
// at the times that a pace gives, whatever the system does (an open loop), so
// that a system that falls behind is seen to. Latency counts from the moment
// that a message was due, not from when it was sent; what the generator itself
// was late is measured apart.
//
// The way of a message: the pacer's goroutine writes it into the ledger and
// sends it; a connection's goroutine hears the answer and the receipts, writes
// them into the ledger and into the recording of the stretch that is on. When
// the run is over the ledger judges.
package load

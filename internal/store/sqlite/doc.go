// Package sqlite implements the store in one SQLite file, for a system in one
// process. It passes package storetest.
//
// # Concurrency
//
// One goroutine writes (writer.go). Each change is a function queued to it; it
// takes everything that was queued during the previous commit, runs it in one
// transaction and commits once, with an fsync (group commit). Callers get their
// answer after that. Because nobody else changes conversations, the writer caches
// those in use (cache.go). If another process commits all the same, the writer
// notices and clears the cache.
//
// Reads borrow one of a few connections and see the state as of their start.
// A checkpointer moves the write-ahead log into the file, concurrently with the
// writer (checkpoint.go).
//
// # Layout
//
// The key of a message is slot << 32 | seq, where slot is a short number of the
// conversation, so that a page of history is one range scan at any depth. There
// are two more indexes: for client ids (exactly once), and for messages that were
// changed after they were stored. The messages with a rev above n are the changed
// ones of that index, merged with the unchanged ones from a seq that is found by
// binary search, because the rev of unchanged messages grows with seq (feed.go).
//
// The writer has a change counter for the installation. Every change to a
// conversation or membership writes the counter's next value into its row. A
// [store.Position] is a value of the counter.
package sqlite

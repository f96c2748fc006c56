// Package sqlite keeps the store in one SQLite file, for a system in one
// process. It passes package storetest.
//
// # How it works
//
// One goroutine writes (writer.go). Each change is a function queued to it; it
// takes all that gathered while the previous commit was in flight, runs them
// in one transaction and commits once, with an fsync. Nothing is answered
// before. Because nobody else changes conversations, the writer knows the ones
// in use by heart (cache.go); should another process commit all the same, it
// notices and forgets them.
//
// Reads borrow one of a few connections and see the state as of their start.
// A checkpointer moves the write-ahead log into the file, beside the writer
// (checkpoint.go).
//
// # How it is laid out
//
// A message lies at slot << 32 | seq, where slot is a short number of the
// conversation, so that a page of history is one walk at any depth. Two
// indexes stand beside: for the names that clients gave (exactly once), and
// for messages that were changed after they were stored. What has a rev above
// n is the changed ones of that index, merged with the unchanged ones from a
// seq that is found by bisection, because the rev of unchanged messages grows
// with seq (feed.go).
//
// A change counter of the installation, held by the writer, stamps the row of
// a conversation or membership with every change to it. A [store.Position] is
// a value of it.
package sqlite

// Package storetx implements the changes that are the same in every store: it
// loads what a rule of package chat needs, calls the rule, and stores the result,
// all in one transaction of the backend. A backend embeds [Commands] and
// implements [Tx]: SQL and locks. Hot paths (Append) and single statements
// (reads, deletions) stay in the backends.
//
// # Locks
//
// A command locks a conversation first, and then reads and writes what belongs
// to it. Only [Members.LockMembership] takes a lock without that. A command on a
// batch locks the batch before everything else, and then conversations: a removal
// in the order of their ids, CreateBatchConversations in the order of its list, so
// that two calls with the same pairs in another order can end in a deadlock, and
// one of them runs again. A backend that runs one transaction at a time needs no
// locks.
//
// # Retries
//
// A transaction may be rolled back and run again from the start, so a command
// keeps no state from a failed run. When a command refuses, its transaction is
// rolled back.
package storetx

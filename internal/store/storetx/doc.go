// Package storetx holds the changes that every store makes alike: it loads what
// a rule of package chat needs, asks the rule, and keeps the verdict, all in one
// transaction of the backend. A backend embeds [Commands] and gives it [Tx]: SQL
// and locks. What is hot (Append) and what is one statement (reads, deletions)
// stays in the backends.
//
// # Locks
//
// A command takes a conversation's lock first, and with it reads and writes what
// belongs to the conversation. Only [Members.LockMembership] takes a lock
// without it. What is done with a batch takes the batch's lock before all
// others, and then conversations in the order of their ids. A backend that runs
// one transaction at a time needs none.
//
// # Running again
//
// A transaction may be taken back and run again from the start, so a command
// keeps nothing from a run that failed. Where it refuses, it has written
// nothing.
package storetx

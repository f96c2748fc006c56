// Package rawtcp reads and writes TCP connections by system calls of which Go's
// scheduler is not told.
//
// A connection of package net is not blocking: a read or write returns at once, and
// who has to wait is parked by the network poller. All the same the runtime prepares
// each of these calls for one that blocks. Its monitor thread, which sleeps while the
// process is idle, is woken by the first call and looks every 20 µs from then on, until
// the process is idle again, whether the processor (the P of the scheduler) must be
// given to another thread; where the call takes longer than that, it is, and the
// threads change places. In a process that becomes busy and idle a thousand times a
// second that is most of its context switches. Package syscall calls calls without
// these preparations raw.
//
// Only Linux has raw calls; elsewhere everything is as in package net.
package rawtcp

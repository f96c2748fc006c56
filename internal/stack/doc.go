// Package stack runs the servers that a cluster of Hikyaku works with, and the
// cluster itself, as private processes: in a temporary folder, on free ports of
// the loopback address, from the programs that are installed on the machine.
// `make stack`, the integration tests, the load tool and the fault tests use
// it, so that what is measured and what is tested is the same system.
//
// Nothing outlives the program that started it: every server is told to die
// with its parent (on Linux), and [Folder.Close] stops all of them.
package stack

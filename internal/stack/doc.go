// Package stack runs the servers that a cluster of Hikyaku works with, and the
// cluster itself, as private processes: in a temporary folder, on free ports of
// the loopback address, from the programs that are installed on the machine.
// `make stack`, the integration tests, the load tool and the fault tests use
// it, so that what is measured and what is tested is the same system.
//
// Nothing outlives the program that started it. [Folder.Close] stops every
// server; where the program ends without it, be it by SIGKILL, a watcher that
// each folder has kills them and removes the folder (watcher.go).
package stack

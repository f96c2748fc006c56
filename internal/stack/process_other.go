//go:build !linux

package stack

import "syscall"

// dieWithParent does nothing where the kernel has no such thing.
func dieWithParent(*syscall.SysProcAttr) {}

package stack

import "syscall"

// dieWithParent has the kernel kill the process when this one dies.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

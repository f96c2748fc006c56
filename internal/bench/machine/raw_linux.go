package machine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawCall reads or writes a byte without telling the runtime, which must not need
// this thread meanwhile.
func rawCall(call uintptr, fd int, b *[1]byte) (n int, errno unix.Errno) {
	done, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(b)), 1) //nolint:gosec // as package unix does
	return int(done), errno                                                             //nolint:gosec // 0 or 1
}

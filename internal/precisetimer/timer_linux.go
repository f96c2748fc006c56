package precisetimer

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
)

// timer is a timerfd. One goroutine uses it at a time.
type timer struct {
	file    *os.File
	raw     syscall.RawConn
	expired [8]byte // what is read from it: a count, which is not needed
	wait    func(fd uintptr) (done bool)
}

// idle has timers that nobody uses now. More sleep at once than it has room for only
// where a process has many processors.
var idle = make(chan *timer, 64)

// Sleep sleeps for d, or up to some 50 µs longer on an idle machine. It may be called
// concurrently. With the synthetic clock of a test, and where there is no timer to be
// had, it is time.Sleep.
func Sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	if !realClock() {
		time.Sleep(d)
		return
	}
	var t *timer
	select {
	case t = <-idle:
	default:
		var err error
		if t, err = open(); err != nil {
			time.Sleep(d)
			return
		}
	}
	if !t.sleep(d) {
		_ = t.file.Close()
		time.Sleep(d)
		return
	}
	select {
	case idle <- t:
	default:
		_ = t.file.Close()
	}
}

// realClock reports whether the clock that goroutines see is the machine's.
func realClock() bool {
	var ts unix.Timespec
	// Raw calls, as in package rawtcp: none of them blocks.
	_, _, errno := syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&ts)), 0)
	return errno == 0 && time.Since(time.Unix(ts.Unix())).Abs() < time.Minute
}

func open() (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	t := &timer{file: os.NewFile(uintptr(fd), "timer")}
	if t.raw, err = t.file.SyscallConn(); err != nil {
		_ = t.file.Close()
		return nil, err
	}
	t.wait = func(fd uintptr) bool {
		for {
			if _, err := rawtcp.Read(fd, t.expired[:]); err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	}
	return t, nil
}

// sleep reports whether it has slept.
func (t *timer) sleep(d time.Duration) bool {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	failed := false
	err := t.raw.Control(func(fd uintptr) {
		_, _, errno := syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
		failed = errno != 0
	})
	if err != nil || failed {
		return false
	}
	return t.raw.Read(t.wait) == nil
}

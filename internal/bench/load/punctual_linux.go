package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// preciseTimer lets the pacer sleep until a moment and not until the millisecond after
// it: Go's scheduler, when it has nothing to do, waits for its next timer by
// epoll, which counts in milliseconds. A timer of the system's, watched by the
// same epoll, ends that wait in time.
type preciseTimer struct {
	file *os.File // nil without a timer of the system's
	fd   int
}

// minSleep is the shortest sleep on a timer of the system's. Messages that are
// due within it go out together: to wake up for each of ten thousands a second
// costs more than to send it, here and at the other end.
const minSleep = 250 * time.Microsecond

// newPreciseTimer makes an alarm. Without one, as on the clock of a test, sleeping is
// what it is in Go.
func newPreciseTimer() *preciseTimer {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &ts); err != nil || time.Since(time.Unix(ts.Unix())).Abs() > time.Minute {
		return &preciseTimer{}
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &preciseTimer{}
	}
	return &preciseTimer{file: os.NewFile(uintptr(fd), "timer"), fd: fd}
}

// sleep sleeps for d, or somewhat longer.
func (a *preciseTimer) sleep(d time.Duration) {
	if a.file != nil {
		d = max(d, minSleep)
		_ = unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
	}
	time.Sleep(d)
}

func (a *preciseTimer) close() {
	if a.file != nil {
		_ = a.file.Close()
	}
}

package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// preciseTimer lets the pacer sleep until a point in time and not until the
// millisecond after it. An idle Go scheduler waits for its next timer with
// epoll, which counts in milliseconds. A timerfd, watched by the same epoll,
// ends that wait on time.
type preciseTimer struct {
	file *os.File // nil without a timer of the system's
	fd   int
}

// minSleep is the shortest sleep with a timerfd. Messages that are due within
// it are sent together: to wake up for each of ten thousand a second costs more
// than to send it, on both sides.
const minSleep = 250 * time.Microsecond

// newPreciseTimer creates a timer. Where there is no timerfd, and with the
// synthetic clock of a test, it sleeps like time.Sleep.
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

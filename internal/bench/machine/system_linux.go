package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

func (s *Speed) measureSystem(ctx context.Context, o Options) error {
	var errs []error
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("the machine's %s could not be measured: %w", what, err))
		}
	}
	var err error
	s.SyscallNS, err = perRound(1000, func(n int) error {
		for range n {
			_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
		return nil
	})
	note("system calls", err)
	s.FdatasyncMS, err = fdatasync(o.Folder)
	note("fdatasync", err)
	if err == nil {
		s.FdatasyncIn = o.Folder
	}
	processors, err := allowedProcessors()
	if err != nil {
		note("context switches", err)
		return errors.Join(errs...)
	}
	s.ContextSwitchUS, err = pipeSwitch(ctx, o, processors[0], processors[0])
	note("context switches", err)
	if len(processors) > 1 {
		s.WakeUpUS, err = pipeSwitch(ctx, o, processors[0], processors[1])
		note("wake-ups", err)
	}
	return errors.Join(errs...)
}

// fdatasync returns the milliseconds that it takes until 4 KiB are on the disk,
// which overwrite those of a file, as a log does whose file is there already.
func fdatasync(folder string) (ms float64, err error) {
	f, err := os.CreateTemp(folder, "hikyaku-fdatasync-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 4096)
	n := byte(0)
	each, err := perRound(1, func(int) error {
		n++
		block[0] = n
		if _, err := f.WriteAt(block, 0); err != nil {
			return err
		}
		return unix.Fdatasync(int(f.Fd())) //nolint:gosec // a descriptor
	})
	if err != nil {
		return 0, fmt.Errorf("in %s: %w", filepath.Clean(folder), err)
	}
	return each / 1e6, nil
}

// allowedProcessors returns the processors that this process may run on.
func allowedProcessors() (all []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	for i := range 64 * len(set) {
		if set.IsSet(i) {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no processor is allowed")
	}
	return all, nil
}

// pipeSwitch returns the microseconds of one switch between this process, on one
// processor, and another one, on its own or the same.
func pipeSwitch(ctx context.Context, o Options, here, there int) (us float64, err error) {
	// The thread ends with its goroutine, since it is not unlocked: it is bound to
	// a processor.
	type result struct {
		us  float64
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		us, err := pipeSwitchOnThread(ctx, o, here, there)
		done <- result{us, err}
	}()
	r := <-done
	return r.us, r.err
}

func pipeSwitchOnThread(ctx context.Context, o Options, here, there int) (us float64, err error) {
	cmd, err := o.Echo(ctx)
	if err != nil {
		return 0, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, errors.Join(err, in.Close())
	}
	if err := bind(there); err != nil { // the command inherits it
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close(), cmd.Wait()) }()
	if err := bind(here); err != nil {
		return 0, err
	}
	if err := roundTrip(in, out); err != nil { // it has started
		return 0, err
	}
	write, err := descriptor(in)
	if err != nil {
		return 0, err
	}
	read, err := descriptor(out)
	if err != nil {
		return 0, err
	}
	each, err := perRound(50, func(n int) error {
		for range n {
			if err := rawRoundTrip(write, read); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	return each / 2 / 1000, err
}

func bind(processor int) error {
	var set unix.CPUSet
	set.Set(processor)
	return unix.SchedSetaffinity(0, &set)
}

func roundTrip(in io.Writer, out io.Reader) error {
	var b [1]byte
	if _, err := in.Write(b[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(out, b[:])
	return err
}

// descriptor returns that of a pipe, whose reads wait from now on.
func descriptor(pipe any) (int, error) {
	f, is := pipe.(*os.File)
	if !is {
		return 0, fmt.Errorf("a pipe to a process is a %T", pipe)
	}
	fd := int(f.Fd()) //nolint:gosec // a descriptor
	return fd, unix.SetNonblock(fd, false)
}

// rawRoundTrip sends a byte and waits until it comes back. The runtime knows
// nothing of these calls: it would look after its other threads each time, which
// costs more than the switch. The other end is a process of its own, which answers
// whatever this runtime waits for.
func rawRoundTrip(write, read int) error {
	if err := rawByte(unix.SYS_WRITE, write); err != nil {
		return err
	}
	return rawByte(unix.SYS_READ, read)
}

// Echo sends back each byte of the standard input, until that ends.
func Echo() error {
	runtime.LockOSThread()
	for {
		err := rawByte(unix.SYS_READ, 0)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := rawByte(unix.SYS_WRITE, 1); err != nil {
			return err
		}
	}
}

// rawByte reads or writes a byte.
func rawByte(call uintptr, fd int) error {
	var b [1]byte
	for {
		n, errno := rawCall(call, fd, &b)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return errno
		case n == 0:
			return io.EOF
		}
		return nil
	}
}

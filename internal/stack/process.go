package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopTimeout is how long a server may take to stop before it is killed.
const stopTimeout = time.Minute

// Process is a started server. Its methods may be called concurrently.
type Process struct {
	name string
	log  string // path of what it prints
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	// gone is closed when its descendants have ended as well, including those
	// outside its process group: PostgreSQL's have their own sessions, outlive
	// a killed server for a moment, and hold the memory that the next one
	// needs.
	gone chan struct{}
	// stopRequested is set before the process is asked to stop, to detect an
	// unexpected exit.
	stopRequested atomic.Bool
}

// command describes a process to start.
type command struct {
	name string
	path string
	args []string
	env  []string // added to a small environment
	dir  string
	user *syscall.Credential // nil for this process's own
	// session has the process begin a session: it has nothing to do with the system,
	// and the kernel shares processors between sessions first (autogroups in sched(7)).
	session bool
}

// start runs a command with its output in a file of the folder.
func (f *Folder) start(c command) (*Process, error) {
	log := filepath.Join(f.dir, c.name+".log")
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	defer func() { _ = out.Close() }()
	// The context of whoever starts a server must not end it.
	cmd := exec.CommandContext(context.Background(), c.path, c.args...) //nolint:gosec // which programs run is the caller's say
	cmd.Dir = c.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir, "LANG=C.UTF-8", "TZ=UTC", "TMPDIR=" + os.TempDir(),
	}, c.env...)
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own: servers have children that must end with them, and
	// Ctrl-C at a terminal must not reach them before they are asked to stop.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !c.session, Setsid: c.session, Credential: c.user}
	// Every descendant inherits the lineage's writing end: whoever reads it
	// learns when the last has ended.
	lineage, inherited, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	cmd.ExtraFiles = []*os.File{inherited}
	err = f.watched(cmd, cmd.Start)
	_ = inherited.Close()
	if err != nil {
		_ = lineage.Close()
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	p := &Process{name: c.name, log: log, cmd: cmd, done: make(chan struct{}), gone: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the log says why it ended
	}()
	go func() {
		defer close(p.gone)
		_, _ = io.Copy(io.Discard, lineage)
		_ = lineage.Close()
	}()
	f.add(p)
	return p, nil
}

// Name returns the name of the process in this stack.
func (p *Process) Name() string { return p.name }

// Log returns the path of the process's output.
func (p *Process) Log() string { return p.log }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exited reports whether the process has ended without being asked to.
func (p *Process) Exited() bool { return !p.Running() && !p.stopRequested.Load() }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process and its children.
func (p *Process) signal(s unix.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := unix.Kill(-p.PID(), s); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Kill ends the process with SIGKILL, as a crash would, and waits until it and
// its descendants have ended.
func (p *Process) Kill() error {
	p.stopRequested.Store(true)
	err := p.signal(unix.SIGKILL)
	<-p.done
	return errors.Join(err, p.waitUntilGone())
}

// waitUntilGone waits until the process and its descendants have ended, which
// were killed.
func (p *Process) waitUntilGone() error {
	<-p.done
	select {
	case <-p.gone:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("%s was killed, but processes that it started still run", p.name)
	}
}

// Pause suspends the process (SIGSTOP): it exists but does nothing.
func (p *Process) Pause() error { return p.signal(unix.SIGSTOP) }

// Resume continues a suspended process.
func (p *Process) Resume() error { return p.signal(unix.SIGCONT) }

// Terminate asks the process to stop (SIGTERM) and does not wait.
func (p *Process) Terminate() error {
	p.stopRequested.Store(true)
	if !p.Running() {
		return nil
	}
	// The process alone: it looks after its children itself.
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}

// Stop asks the process to stop, waits, and kills it if ctx ends first.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Terminate(); err != nil {
		return err
	}
	select {
	case <-p.done:
		// Children that the server left behind.
		_ = unix.Kill(-p.PID(), unix.SIGKILL)
		return nil
	case <-ctx.Done():
		_ = p.Kill()
		return fmt.Errorf("%s did not stop in time and was killed (see %s)", p.name, p.log)
	}
}

// waitFor calls ready until it returns nil. It fails when the process or ctx
// ends; the error includes the end of the log.
func (p *Process) waitFor(ctx context.Context, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while it started:\n%s", p.name, strings.TrimSpace(tail(p.log)))
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready in time (%w):\n%s", p.name, err, tail(p.log))
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// getsStatus returns a check that requests a page once and expects a status.
func getsStatus(url string, status int) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if res.StatusCode != status {
			err = fmt.Errorf("%s answers %s", url, res.Status)
		}
		return errors.Join(err, res.Body.Close())
	}
}

// tail returns the end of a log, for an error.
func tail(path string) string {
	const most = 2000
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(text)
}

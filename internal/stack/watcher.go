package stack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A parent that is killed stops nothing, and each of the kernel's mechanisms
// reaches only some processes: PR_SET_PDEATHSIG does not reach the children of a
// server, and a process group not those that have their own session, as
// PostgreSQL's do. So each folder has a watcher. It waits for the end of its
// standard input, whose other end only this process holds, as long as it lives.
// Then it kills whatever belongs to the folder, until nothing is left, and
// removes the folder.
//
// A process belongs to the folder if it has the file starterFile open: every
// process that is started for the folder inherits it, and so do all of its
// descendants. A person who works in the folder, or reads a log there, does not
// have it open.
//
// Root without CAP_SYS_PTRACE, as in a container, cannot see which files the
// processes of other users have open. Such a process belongs to the folder if
// its command line names a file in it, as those of PostgreSQL and PgBouncer do.
// PostgreSQL's children do not, and end with their parent.
//
// Without /proc, lsof finds the processes that have the file open.

// starterFile holds the id of the process that created the folder.
// scripts/check-left knows its name, too.
const starterFile = "starter.pid"

// watchScript is the watcher: a shell, which is small and is there everywhere.
// It has its own session and ignores signals that are meant for others.
// PostgreSQL is asked, for five seconds, to end at once (SIGQUIT): killed, it
// would leave its shared memory behind.
const watchScript = `
trap '' HUP INT QUIT TERM PIPE
dir=$1 file=$2
while read -r _; do :; done

belonging() {
	if [ -d /proc/self/fd ]; then
		# The link of a file that was removed ends with " (deleted)".
		find /proc/[0-9]*/fd -lname "*/${dir##*/}/$file*" 2>/dev/null | cut -d / -f 3
		# Reading a link of the process takes what reading those of its files does.
		# grep reads the path from its input: its own command line is no match.
		printf '%s/\n' "$dir" | grep -lF -f - /proc/[0-9]*/cmdline 2>/dev/null | cut -d / -f 3 |
			while read -r pid; do
				[ -O "/proc/$pid" ] || readlink "/proc/$pid/cwd" >/dev/null 2>&1 || ! kill -0 "$pid" 2>/dev/null || echo "$pid"
			done
	else
		lsof -t -- "$dir/$file" 2>/dev/null
	fi | sort -u | grep -vx "$PPID"
}

rounds=0
while pids=$(belonging); [ -n "$pids" ]; do
	for pid in $pids; do
		signal=KILL
		if [ $rounds -lt 50 ]; then
			case $(cat "/proc/$pid/comm" 2>/dev/null || ps -o comm= -p "$pid") in
			postgres | */postgres) signal=QUIT ;;
			esac
		fi
		kill -$signal "$pid" 2>/dev/null
		kill -CONT "$pid" 2>/dev/null
	done
	rounds=$((rounds + 1))
	sleep 0.1
done
rm -rf -- "$dir"
`

// watcher is the process that cleans up after this one has ended.
type watcher struct {
	dir   string
	stdin io.Closer
	ended chan error // receives what became of it
}

func watch(dir string) (*watcher, error) {
	if err := os.WriteFile(filepath.Join(dir, starterFile), fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", watchScript, "hikyaku-stack-watcher", dir, starterFile)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var said bytes.Buffer
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w := &watcher{dir: dir, stdin: stdin, ended: make(chan error, 1)}
	go func() {
		err := cmd.Wait()
		if err != nil {
			err = fmt.Errorf("clean up %s: %w: %s", dir, err, strings.TrimSpace(said.String()))
		}
		w.ended <- err
	}()
	return w, nil
}

// finish has the watcher clean up, and waits for it.
func (w *watcher) finish() error {
	_ = w.stdin.Close() // an error says that the watcher has ended
	select {
	case err := <-w.ended:
		return err
	case <-time.After(2 * stopTimeout):
		return fmt.Errorf("clean up %s: processes that were killed still run", w.dir)
	}
}

// watched starts a command that ends with this process.
func (f *Folder) watched(cmd *exec.Cmd, start func() error) error {
	mark, err := os.Open(filepath.Join(f.dir, starterFile))
	if err != nil {
		return err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, mark)
	defer func() { _ = mark.Close() }()
	return start()
}

// output runs a command until it exits and returns its output.
func (f *Folder) output(cmd *exec.Cmd) (out []byte, err error) {
	err = f.watched(cmd, func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	return out, err
}

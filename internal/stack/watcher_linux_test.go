package stack_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// The test binary is a program that starts servers when it is given this
// argument and what is to become of it.
const starterArgument = "start-servers"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == starterArgument {
		startServers(os.Args[2])
	}
	if len(os.Args) > 2 && os.Args[1] == withoutPtraceArgument {
		runWithoutPtrace(os.Args[2:])
	}
	os.Exit(m.Run())
}

// It runs another program without CAP_SYS_PTRACE when it is given this argument
// and a command line. Root lacks it in a container, and then cannot see which
// files the processes of other users have open.
const withoutPtraceArgument = "without-ptrace"

func runWithoutPtrace(command []string) {
	runtime.LockOSThread() // the one that executes the program
	// Who may not drop it does not have it.
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_PTRACE, 0, 0, 0); err != nil && (err != unix.EPERM || os.Geteuid() == 0) {
		panic(fmt.Sprintf("drop CAP_SYS_PTRACE: %v", err))
	}
	panic(fmt.Sprintf("%v: %v", command, unix.Exec(command[0], command, os.Environ())))
}

// startServers prints the path of its folder when its servers run.
func startServers(end string) {
	ctx := context.Background()
	f, err := stack.NewFolder()
	if err != nil {
		panic(err)
	}
	var start errgroup.Group
	start.Go(func() error {
		r, err := stack.StartRedis(ctx, f, "redis")
		if err != nil {
			return err
		}
		return r.Pause() // one that is frozen must end as well
	})
	start.Go(func() error {
		up := []string{"127.0.0.1:1"}
		_, err := stack.StartNginx(ctx, f, 0, stack.Upstreams{Gateways: up, APIs: up, Pages: up})
		return err
	})
	if end == "killed" || end == killedWithoutPtrace {
		start.Go(func() error {
			p, err := stack.StartPostgres(ctx, f, "postgresql")
			if err != nil {
				return err
			}
			if _, err = stack.StartPgBouncer(ctx, f, p); err != nil {
				return err
			}
			_, err = p.StartReplica(ctx, "replica")
			return err
		})
	}
	if end == "killed" {
		start.Go(func() error {
			_, err := stack.StartRabbitMQ(ctx, f, 1)
			return err
		})
	}
	if err := start.Wait(); err != nil {
		panic(err)
	}
	fmt.Println(f.Path())
	// Standard input ends when the servers have been looked at.
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	switch end {
	case "panics":
		panic("as a test binary that is out of time does")
	case "exits":
		os.Exit(0)
	default:
		select {}
	}
}

const (
	killedWithoutPtrace = "killed without ptrace" // the starter, and thus the watcher
	killedWithoutFolder = "killed without folder" // which was removed before
)

func TestServersStopWithStarter(t *testing.T) {
	for _, end := range []string{"killed", killedWithoutPtrace, killedWithoutFolder, "panics", "exits"} {
		t.Run(end, func(t *testing.T) { t.Parallel(); testServersEnd(t, end) })
	}
}

// starter is a process that has started servers.
type starter struct {
	*exec.Cmd
	stdin  io.Closer // ends the process as it was asked to
	folder string    // of the servers
}

func startStarter(t *testing.T, end string) *starter {
	t.Helper()
	stacktest.SkipIfShort(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{binary, starterArgument, end}
	if end == killedWithoutPtrace {
		command = slices.Concat([]string{binary, withoutPtraceArgument}, command)
	}
	s := &starter{Cmd: exec.CommandContext(t.Context(), command[0], command[1:]...)} //nolint:gosec // this binary
	s.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.stdin, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	s.Stderr = &said
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	s.folder = strings.TrimSpace(line)
	if err != nil || s.folder == "" {
		_ = s.Wait()
		t.Fatalf("the servers did not start: %v\n%s", err, &said)
	}
	return s
}

func testServersEnd(t *testing.T, end string) {
	starter := startStarter(t, end)
	folder := starter.folder
	programs := []string{"redis-server", "nginx: master", "nginx: worker", "hikyaku-stack-watcher"}
	withPostgres := end == "killed" || end == killedWithoutPtrace
	if withPostgres {
		programs = append(programs, "postgres -D", "pgbouncer")
		if seesOtherUsers(t) {
			programs = append(programs, "postgres: checkpointer", "walsender")
		}
	}
	if end == "killed" {
		programs = append(programs, "beam.smp", "epmd")
	}
	eventually.Nil(t, "the servers' processes are seen", func() error {
		running := strings.Join(processesOf(t, folder), "\n")
		for _, program := range programs {
			if !strings.Contains(running, program) {
				return fmt.Errorf("%s is not found among the processes of the folder:\n%s", program, running)
			}
		}
		return nil
	})
	shared := sharedMemory(t, folder)
	if withPostgres && len(shared) == 0 && seesOtherUsers(t) {
		t.Error("PostgreSQL's shared memory is not found")
	}
	// Somebody who reads a log is no server.
	reader := exec.CommandContext(t.Context(), "tail", "-f", filepath.Join(folder, "redis.log"))
	reader.Dir = folder
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}

	if end == killedWithoutFolder {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
	}
	// The whole group, as a terminal does it.
	var err error
	if strings.HasPrefix(end, "killed") {
		err = unix.Kill(-starter.Process.Pid, unix.SIGKILL)
	} else {
		err = starter.stdin.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait()
	waitUntilNoneIsLeft(t, folder, reader.Process.Pid)
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
	for _, path := range shared {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("shared memory is left: %s", path)
		}
	}
	if err := reader.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("who read a log was killed: %v", err)
	}
	_ = reader.Process.Kill()
	_ = reader.Wait()
}

// seesOtherUsers reports whether the files that processes of other users have
// open can be seen: root lacks CAP_SYS_PTRACE in a container. Others start no
// servers for other users.
func seesOtherUsers(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	return data[0].Effective&(1<<unix.CAP_SYS_PTRACE) != 0
}

// scripts/check-left distinguishes servers without a starter, which are left
// only if the watcher was killed, from those of a running process.
func TestCheckLeft(t *testing.T) {
	for _, end := range []string{"killed without a watcher", killedWithoutPtrace} {
		t.Run(end, func(t *testing.T) { t.Parallel(); testCheckLeft(t, end) })
	}
}

func testCheckLeft(t *testing.T, end string) {
	starter := startStarter(t, end)
	command := []string{"../../scripts/check-left", "0"}
	if end == killedWithoutPtrace {
		command = slices.Concat(starter.Args[:2], command)
	}
	check := func() string {
		// What others have left makes it fail as well.
		out, _ := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput() //nolint:gosec // this binary
		return string(out)
	}
	if out := check(); strings.Contains(out, starter.folder) {
		t.Errorf("it complains of servers whose starter runs:\n%s", out)
	}
	for pid, line := range processes(t, starter.folder) {
		if strings.Contains(line, "hikyaku-stack-watcher") {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	if err := starter.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = starter.Wait()
	there := processes(t, starter.folder) // nginx may start a worker while the script looks
	out := check()
	if !strings.Contains(out, "folder "+starter.folder+"\n") {
		t.Errorf("it does not see the folder:\n%s", out)
	}
	if end == killedWithoutPtrace && os.Geteuid() == 0 && !strings.Contains(out, "cannot be seen") {
		t.Errorf("it does not say that it cannot see everything:\n%s", out)
	}
	for pid, line := range there {
		// PostgreSQL's other processes end with the first one. Their command lines
		// do not name the folder.
		if end == killedWithoutPtrace && strings.HasPrefix(line, "postgres: ") {
			continue
		}
		if ended(pid) {
			continue // by itself, or it is the watcher
		}
		if !strings.Contains(out, fmt.Sprintf("process %d of %s: ", pid, starter.folder)) {
			t.Errorf("it does not see %d, %s:\n%s", pid, line, out)
		}
	}
	killAll(t, starter.folder)
	if err := os.RemoveAll(starter.folder); err != nil {
		t.Error(err)
	}
	if out := check(); strings.Contains(out, starter.folder) {
		t.Errorf("it complains of what is gone:\n%s", out)
	}
}

// ended reports whether a process has ended, also one that nobody has waited for yet.
func ended(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || regexp.MustCompile(`(?m)^State:\s[ZX]`).Match(status)
}

// sharedMemory returns the paths of the shared memory of PostgreSQL's processes
// in a folder.
func sharedMemory(t *testing.T, folder string) (paths []string) {
	t.Helper()
	segment := regexp.MustCompile(`/dev/shm/PostgreSQL\.\d+`)
	for pid := range processes(t, folder) {
		// One that has ended meanwhile has none.
		maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		paths = append(paths, segment.FindAllString(string(maps), -1)...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// processes returns the command lines of all processes that use a folder, by
// id: it is in their command line or environment, they have a file of it open,
// or it is their working directory.
func processes(t *testing.T, folder string) map[int]string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(all) == 0 {
		t.Fatalf("there is no list of processes: %v", err)
	}
	found := map[int]string{}
	for _, dir := range all {
		// What cannot be read has ended meanwhile, or is another's.
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		marks := string(line) + "\x00" + string(env)
		links, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
		for _, link := range append(links, filepath.Join(dir, "cwd"), filepath.Join(dir, "exe")) {
			target, _ := os.Readlink(link)
			marks += "\x00" + target
		}
		var pid int
		if _, err := fmt.Sscan(filepath.Base(dir), &pid); err == nil && pid != os.Getpid() && strings.Contains(marks, folder) {
			found[pid] = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func processesOf(t *testing.T, folder string) (lines []string) {
	t.Helper()
	for _, line := range processes(t, folder) {
		lines = append(lines, line)
	}
	return lines
}

// waitUntilNoneIsLeft waits until every process of a folder except one has
// ended.
func waitUntilNoneIsLeft(t *testing.T, folder string, but int) {
	t.Helper()
	const most = time.Minute
	until := time.Now().Add(most)
	for {
		left := processes(t, folder)
		delete(left, but)
		if len(left) == 0 {
			return
		}
		for pid, line := range left {
			if !waitForEnd(t, pid, time.Until(until)) {
				t.Fatalf("after %v there still runs %q, among %v", most, line, left)
			}
		}
	}
}

// killAll kills all processes that use a folder, those that they start meanwhile
// as well.
func killAll(t *testing.T, folder string) {
	t.Helper()
	for left := processes(t, folder); len(left) > 0; left = processes(t, folder) {
		for pid, line := range left {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				t.Fatalf("kill %d, %s: %v", pid, line, err)
			}
			if !waitForEnd(t, pid, time.Minute) {
				t.Fatalf("%d, %s, was killed and still runs", pid, line)
			}
		}
	}
}

// waitForEnd reports whether a process ends in time.
func waitForEnd(t *testing.T, pid int, most time.Duration) bool {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return true
	}
	if err != nil {
		t.Fatalf("watch the process %d: %v", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	until := time.Now().Add(most)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(0, time.Until(until).Milliseconds())))
		if err != unix.EINTR { // Go's own signals
			return n > 0
		}
	}
}

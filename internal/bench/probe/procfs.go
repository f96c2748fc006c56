package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
)

// ticksPerSecond is the unit of time in /proc (USER_HZ, 100 on every platform
// that Go supports).
const ticksPerSecond = 100

var errProc = errors.New("/proc says something else than it should")

// parseStatm returns the resident pages of /proc/PID/statm.
func parseStatm(text []byte) (pages float64, err error) {
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errProc
	}
	return strconv.ParseFloat(fields[1], 64)
}

// stat is what /proc/PID/stat says.
type stat struct {
	command string // its first 15 bytes
	parent  int
	start   uint64 // ticks after the machine's start
	cpu     cost.Times
	ended   cost.Times // of children that were waited for
}

// parseStat reads /proc/PID/stat (proc(5)).
func parseStat(text []byte) (s stat, err error) {
	// The command in the parentheses may hold anything; the fields are counted
	// from behind it.
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return s, errProc
	}
	s.command = string(text[open+1 : end])
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 {
		return s, errProc
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return s, errProc
	}
	for i, to := range []*float64{&s.cpu.User, &s.cpu.System, &s.ended.User, &s.ended.System} {
		ticks, err := strconv.ParseFloat(fields[11+i], 64)
		if err != nil {
			return s, errProc
		}
		*to = ticks / ticksPerSecond
	}
	if s.start, err = strconv.ParseUint(fields[19], 10, 64); err != nil {
		return s, errProc
	}
	return s, nil
}

// parseSwitches reads the context switches of /proc/PID/task/TID/status. They are
// its last lines.
func parseSwitches(text []byte, to *cost.Thread) error {
	for name, v := range map[string]*float64{"\nvoluntary_ctxt_switches:": &to.Voluntary, "\nnonvoluntary_ctxt_switches:": &to.Involuntary} {
		at := bytes.LastIndex(text, []byte(name))
		if at < 0 {
			return errProc
		}
		value, _, _ := bytes.Cut(text[at+len(name):], []byte("\n"))
		var err error
		if *v, err = strconv.ParseFloat(string(bytes.TrimSpace(value)), 64); err != nil {
			return errProc
		}
	}
	return nil
}

// parseSchedstat reads how long a thread has waited for a processor from
// /proc/PID/task/TID/schedstat: nanoseconds on one, nanoseconds waiting, turns.
func parseSchedstat(text []byte, to *cost.Thread) error {
	fields := strings.Fields(string(text))
	if len(fields) != 3 {
		return errProc
	}
	nanoseconds, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return errProc
	}
	to.Wait = nanoseconds / 1e9
	return nil
}

// machineCounter returns a value of /proc/stat, such as ctxt; 0 if it is not
// there.
func machineCounter(text []byte, name string) float64 {
	_, rest, _ := bytes.Cut(text, []byte("\n"+name+" "))
	value, _, _ := bytes.Cut(rest, []byte("\n"))
	v, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
	if err != nil {
		return 0
	}
	return v
}

// procfs is /proc.
type procfs struct{ files fs.FS }

// gone reports whether an error means that a process or thread has ended.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// sample adds the processes to a sample: each root that is measured and its
// descendants, those of a root that is nearer left out. Of two roots that are the same
// process the first counts.
func (p procfs) sample(roots []Process, to *cost.Sample) error {
	all, err := p.stats()
	if err != nil {
		return err
	}
	named := map[int]Process{}
	for _, r := range roots {
		if _, known := named[r.PID]; !known {
			named[r.PID] = r
		}
	}
	for pid, s := range all {
		root, is := nearest(pid, all, named)
		if !is || root.Unmeasured {
			continue
		}
		found := cost.ProcessSample{ID: cost.ID{PID: pid, Start: s.start}, CPU: s.cpu, Ended: s.ended}
		if parent, known := all[s.parent]; known {
			found.Parent = cost.ID{PID: s.parent, Start: parent.start}
		}
		cmdline, err := fs.ReadFile(p.files, path.Join(strconv.Itoa(pid), "cmdline"))
		if err != nil && !gone(err) {
			return err
		}
		if root.Name == "" { // the name of the root's kind, for all that it has started
			of, err := fs.ReadFile(p.files, path.Join(strconv.Itoa(root.PID), "cmdline"))
			if err != nil && !gone(err) {
				return err
			}
			root.Name = kind(all[root.PID].command, of)
		}
		found.Name = root.Name + detail(s.command, cmdline)
		if err := p.threads(pid, &found); err != nil {
			return err
		}
		to.Processes = append(to.Processes, found)
	}
	if text, err := fs.ReadFile(p.files, "stat"); err == nil {
		to.Switches = machineCounter(text, "ctxt")
	}
	return nil
}

// stats returns all processes of the machine.
func (p procfs) stats() (map[int]stat, error) {
	entries, err := fs.ReadDir(p.files, ".")
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := fs.ReadFile(p.files, path.Join(e.Name(), "stat"))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if all[pid], err = parseStat(text); err != nil {
			return nil, fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return all, nil
}

// nearest returns the root that a process is, or descends from.
func nearest(pid int, all map[int]stat, roots map[int]Process) (root Process, is bool) {
	for range len(all) { // a list that was read while processes ended may have a circle
		if root, is = roots[pid]; is {
			return root, true
		}
		s, known := all[pid]
		if !known {
			return root, false
		}
		pid = s.parent
	}
	return root, false
}

// threads adds the threads of a process. What the system does not tell is marked
// as unknown.
func (p procfs) threads(pid int, to *cost.ProcessSample) error {
	tasks := path.Join(strconv.Itoa(pid), "task")
	entries, err := fs.ReadDir(p.files, tasks)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	to.Threads = make(map[int]cost.Thread, len(entries))
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var t cost.Thread
		status, err := fs.ReadFile(p.files, path.Join(tasks, e.Name(), "status"))
		if gone(err) {
			continue
		}
		if err != nil || parseSwitches(status, &t) != nil {
			to.Unknown.Switches = true
		}
		waits, err := fs.ReadFile(p.files, path.Join(tasks, e.Name(), "schedstat"))
		if err != nil || parseSchedstat(waits, &t) != nil {
			// The kernel does not count it, or the thread has just ended.
			if _, err := fs.Stat(p.files, path.Join(tasks, e.Name())); err != nil {
				continue
			}
			to.Unknown.Wait = true
		}
		to.Threads[id] = t
	}
	return nil
}

// kind names a process by its command line.
func kind(command string, cmdline []byte) string {
	args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	switch {
	case len(args) > 1 && args[1] == "serve":
		for i, a := range args {
			if a == "--roles" && i+1 < len(args) {
				return kindOfRoles(args[i+1])
			}
			if roles, found := strings.CutPrefix(a, "--roles="); found {
				return kindOfRoles(roles)
			}
		}
		return "hikyaku"
	case command == "postgres":
		return "postgresql"
	case command == "redis-server", command == "valkey-server":
		return "redis"
	case command == "beam.smp" && bytes.Contains(cmdline, []byte("rabbit")):
		return "rabbitmq"
	case command == "beam.smp" && bytes.Contains(cmdline, []byte("ejabberd")):
		return "ejabberd"
	}
	return command
}

// postgresTitle is what a process of PostgreSQL shows instead of its command line,
// with cluster_name where that is set: what it is, and what it does.
var postgresTitle = regexp.MustCompile(`^postgres: (?:[^ ]+: )?([^\x00]*)`)

// postgresWorkers are the processes of PostgreSQL that are not for one client.
var postgresWorkers = []string{
	"archiver", "autovacuum launcher", "autovacuum worker", "background writer", "checkpointer", "io worker", "logger",
	"logical replication", "parallel worker", "slotsync worker", "startup", "stats collector", "walreceiver", "walsender", "walsummarizer", "walwriter",
}

// detail names what kind of process of its server one is, of which servers with
// many kinds have titles; empty for the others.
func detail(command string, cmdline []byte) string {
	title := postgresTitle.FindSubmatch(cmdline)
	if command != "postgres" || title == nil {
		return ""
	}
	for _, w := range postgresWorkers {
		if strings.HasPrefix(string(title[1]), w) {
			return ": " + w
		}
	}
	return ": backend"
}

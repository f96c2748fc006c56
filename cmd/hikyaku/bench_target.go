package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/bench/distributed"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/ejabberd"
	installation "github.com/hikyaku-chat/hikyaku/internal/bench/target/hikyaku"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/reference"
)

// targetFlags select the system that is measured.
type targetFlags struct {
	System            string       `default:"hikyaku" enum:"hikyaku,ejabberd,reference" help:"What is measured: hikyaku, ejabberd or reference (${default})." placeholder:"SYSTEM"`
	URL               string       `default:"http://127.0.0.1:8080" help:"Address of the installation (${default}). Without an administrator's token registration must be open." placeholder:"URL"`
	Gateway           []string     `help:"Address of a gateway, to which sockets connect instead of the installation's address; several are used in rotation." placeholder:"URL"`
	Source            []netip.Addr `help:"Local address to open sockets from; several are used in rotation. One has some 28000 ports toward one server address and port." placeholder:"ADDRESS"`
	ReferenceDatabase string       `help:"PostgreSQL of the reference stack, to check what it has stored." placeholder:"URL"`
	SetupToken        string       `help:"Setup token of an installation without accounts, whose first account the tool makes; the environment variable HIKYAKU_SETUP_TOKEN gives it as well, to the server and the tool alike." placeholder:"TOKEN"`
	administratorFlags
}

// open returns the system, as the process with a number, from 0, reaches it.
func (f *targetFlags) open(number int) (target.Target, error) {
	switch f.System {
	case "ejabberd":
		return ejabberd.New(f.URL, ejabberd.Options{})
	case "reference":
		return reference.New(f.URL, reference.Options{Database: f.ReferenceDatabase})
	}
	return f.installation(number)
}

func (f *targetFlags) installation(number int) (*installation.Target, error) {
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	return installation.New(f.URL, installation.Options{AdminToken: token, SetupToken: f.SetupToken, Gateways: f.Gateway, Sources: f.sources(number)})
}

// sourcesPerProcess is how many addresses a process's sockets come from. The kernel
// finds a free port without a search as long as less than half of the 28,000 are
// taken towards one destination, and a process has no 20,000 sockets.
const sourcesPerProcess = 4

// sources returns the addresses that a process's sockets connect from. On Linux
// all of 127.0.0.0/8 is this machine's, so that each process has its own ports.
func (f *targetFlags) sources(number int) []netip.Addr {
	if len(f.Source) > 0 || runtime.GOOS != "linux" {
		return f.Source
	}
	for _, address := range append([]string{f.URL}, f.Gateway...) {
		u, err := url.Parse(address)
		if err != nil {
			return nil
		}
		if host, err := netip.ParseAddr(u.Hostname()); err != nil || !host.Is4() || !host.IsLoopback() {
			return nil
		}
	}
	var all []netip.Addr
	for i := range sourcesPerProcess {
		all = append(all, netip.AddrFrom4([4]byte{127, 0, byte(number + 1), byte(i + 1)}))
	}
	return all
}

// forAgents returns how several processes reach the system: with one
// administrator's token for all, if there is one.
func (f *targetFlags) forAgents(ctx context.Context, run string) (targetFlags, error) {
	of := *f
	if f.System != "hikyaku" {
		return of, nil
	}
	t, err := f.installation(0)
	if err != nil {
		return of, err
	}
	of.AdminTokenFile = ""
	of.AdminToken, err = t.Administrator(ctx, run)
	return of, err
}

// processesFor returns how many processes a number of connections needs.
func processesFor(connections int) int {
	each := load.MaxConnections
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Max < uint64(each)*5/4 {
		each = int(files.Max) * 4 / 5 //nolint:gosec // smaller than each
	}
	return (connections + each - 1) / each
}

// agentConfig is how an agent reaches the system.
type agentConfig struct {
	Target targetFlags
	Number int
}

// prepareDistributed returns a function that runs virtual users in several
// processes of this program.
func prepareDistributed(f *targetFlags, processes int) func(context.Context, target.Plan, load.Options) (scenario.VirtualUsers, error) {
	return func(ctx context.Context, plan target.Plan, o load.Options) (scenario.VirtualUsers, error) {
		agents := make([]distributed.Agent, 0, processes)
		giveUp := func(err error) (scenario.VirtualUsers, error) {
			for _, h := range agents {
				_ = h.Close()
			}
			return nil, err
		}
		of, err := f.forAgents(ctx, plan.Run)
		if err != nil {
			return nil, err
		}
		for i := range processes {
			how, err := json.Marshal(agentConfig{Target: of, Number: i})
			if err != nil {
				return giveUp(err)
			}
			h, err := startAgent(ctx, processes)
			if err != nil {
				return giveUp(fmt.Errorf("start process %d of the load tool: %w", i+1, err))
			}
			agents = append(agents, distributed.Agent{ReadWriteCloser: h, Target: how})
		}
		c, err := distributed.Prepare(ctx, agents, plan, o)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
}

// agentProcess is an agent as a child process. It exits when its input ends.
type agentProcess struct {
	io.Reader
	io.WriteCloser
	cmd  *exec.Cmd
	once sync.Once
}

// startAgent starts one of a number of agents. Each has its share of the processors:
// idle threads of many would look for work in the time of those that have some.
func startAgent(ctx context.Context, processes int) (*agentProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &agentProcess{cmd: exec.CommandContext(ctx, self, "bench", "hand")}
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", max(1, runtime.NumCPU()/processes)))
	p.cmd.Stderr = os.Stderr
	if p.WriteCloser, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.Reader, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

// agentStopTimeout is how long an agent may take to close its connections.
const agentStopTimeout = 20 * time.Second

// Close ends the process and waits for it.
func (p *agentProcess) Close() (err error) {
	p.once.Do(func() {
		late := time.AfterFunc(agentStopTimeout, func() { _ = p.cmd.Process.Kill() })
		defer late.Stop()
		err = errors.Join(p.WriteCloser.Close(), p.cmd.Wait())
	})
	return err
}

// benchAgent is one of several processes of a run.
type benchAgent struct{}

// Run executes the commands of the first process.
func (benchAgent) Run(ctx context.Context, std streams) error {
	in, err := interruptible(std.in)
	if err != nil {
		return err
	}
	return distributed.Serve(ctx, coordinatorConn{in, std.out}, func(how []byte) (target.Target, error) {
		var a agentConfig
		if err := json.Unmarshal(how, &a); err != nil {
			return nil, errors.New("bench hand is for the load tool itself; run another command of hikyaku bench")
		}
		return a.Target.open(a.Number)
	})
}

// coordinatorConn is the connection of an agent to its coordinator.
type coordinatorConn struct {
	io.ReadCloser
	io.Writer
}

// interruptible returns an input whose Close ends a Read that waits, as that of
// the standard input does not. The original stays open.
func interruptible(in io.Reader) (io.ReadCloser, error) {
	file, ok := in.(*os.File)
	if !ok {
		return io.NopCloser(in), nil
	}
	original := int(file.Fd()) //nolint:gosec // a descriptor
	fd, err := unix.FcntlInt(uintptr(original), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", file.Name(), err), unix.Close(fd))
	}
	return interruptibleFile{os.NewFile(uintptr(fd), file.Name()), original}, nil
}

type interruptibleFile struct {
	*os.File
	original int
}

func (f interruptibleFile) Close() error {
	// Both descriptors are of one file, which others may have open: a terminal.
	return errors.Join(f.File.Close(), unix.SetNonblock(f.original, false))
}

package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// Folder holds the files of servers and knows their processes.
type Folder struct {
	dir     string
	secrets secrets
	watcher *watcher

	mu        sync.Mutex
	processes []*Process
	closed    bool
}

// NewFolder creates a temporary folder for servers. It is removed by Close, and
// when this process ends.
func NewFolder() (*Folder, error) {
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(temp, "hikyaku-stack-")
	if err != nil {
		return nil, err
	}
	w, err := watch(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	f := &Folder{dir: dir, secrets: newSecrets(), watcher: w}
	// Servers that run as another user must be able to pass through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Path returns the path of the folder.
func (f *Folder) Path() string { return f.dir }

func (f *Folder) add(p *Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes = append(f.processes, p)
}

// Processes returns all started processes, in order.
func (f *Folder) Processes() []*Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.processes)
}

// Close stops every process, the last one first, and removes the folder. It is
// idempotent.
func (f *Folder) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	processes := f.processes
	f.mu.Unlock()
	var errs []error
	for _, p := range slices.Backward(processes) {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		_ = p.Resume() // a frozen process cannot stop
		errs = append(errs, p.Stop(ctx))
		cancel()
	}
	errs = append(errs, f.watcher.finish())
	for _, p := range processes {
		errs = append(errs, p.waitUntilGone())
	}
	return errors.Join(errs...)
}

// mkdir creates a subfolder that owner can write to.
func (f *Folder) mkdir(name string, owner *syscall.Credential) (string, error) {
	dir := filepath.Join(f.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Ports are taken from below those that systems give to outgoing connections
// (32,768 and up on Linux, 49,152 elsewhere): a server that is started again
// finds its port as it left it. A range of their own also leaves room for the
// second port that Redis wants, 10,000 above the first.
const firstPort, lastPort = 11_000, 21_999

// reservedPorts are the ports that this program was given; none is given twice.
var reservedPorts struct {
	sync.Mutex
	ports map[int]net.PacketConn // those that hold the reservations
}

// FreePort returns a port of the loopback address that nobody listens on, and
// reserves it for as long as this process runs: no other process gets it from
// FreePort. Another program could take it before the server does; the server fails
// then.
func FreePort() (int, error) {
	reservedPorts.Lock()
	defer reservedPorts.Unlock()
	if reservedPorts.ports == nil {
		reservedPorts.ports = map[int]net.PacketConn{}
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		reservation, err := reservePort(port)
		if err != nil {
			continue
		}
		if portIsFree(port) && portIsFree(port+busPortOffset) {
			reservedPorts.ports[port] = reservation
			return port, nil
		}
		_ = reservation.Close()
	}
	return 0, fmt.Errorf("there is no free port between %d and %d", firstPort, lastPort)
}

// reservePort reserves a TCP port by the UDP port of the same number, which no server
// uses and the system frees when the process ends, however that ends.
func reservePort(port int) (net.PacketConn, error) {
	var lc net.ListenConfig
	return lc.ListenPacket(context.Background(), "udp", fmt.Sprintf("127.0.0.1:%d", port))
}

func portIsFree(port int) bool {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	return err == nil && l.Close() == nil
}

// checkPort checks that a port that a person chose is free.
func checkPort(port int) error {
	if !portIsFree(port) {
		return fmt.Errorf("--port: 127.0.0.1:%d is in use by another program; stop it or choose another port", port)
	}
	return nil
}

func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		var err error
		if ports[i], err = FreePort(); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

// findProgram finds a program on the path and in the folders where packages
// install it. of is the package's name, for the error.
func findProgram(program, of string, places ...string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, place := range places {
		found, err := filepath.Glob(filepath.Join(place, program))
		if err == nil && len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("%s is not installed (the program %s was looked for); install the package %s, or run scripts/servers", of, program, of)
}

// unprivilegedUser returns the account for servers that refuse to run as root;
// nil if this process is not root.
func unprivilegedUser(names ...string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range append(names, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the account %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the account %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("there is no account to run a server as; looked for %v", names)
}

// Package clustertest provides tests with the whole system as it runs in
// production: processes of the real binary behind nginx, on RabbitMQ, Redis and
// PostgreSQL, and users who send meanwhile.
package clustertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/hikyaku-chat/hikyaku/internal/app" // what the binary is made of, see build
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// settings make the processes react fast, and accounts cheap to create. A busy
// machine may need seconds for an answer: heartbeats have their default
// interval, and draining has enough time. The race detector would let each
// process that ends sleep for a second, to see what its goroutines still do;
// they have all been waited for.
var settings = []string{
	"HIKYAKU_HASH_MEMORY=64", "HIKYAKU_HASH_AT_ONCE=16", "HIKYAKU_RATE=100000", "HIKYAKU_BURST=100000", "HIKYAKU_REGISTRATIONS=100000", "HIKYAKU_IN_FLIGHT=1000",
	"HIKYAKU_HEARTBEAT=3s", "HIKYAKU_GOODBYE_SPREAD=1s", "HIKYAKU_DRAIN=1m", "HIKYAKU_LOG_LEVEL=warn",
	"HIKYAKU_PUSH_PRIVATE=true", "HIKYAKU_PUSH_DELAY=200ms", "GORACE=atexit_sleep_ms=0",
}

var (
	binary = sync.OnceValues(build)
	shared = sync.OnceValues(func() (*System, error) { return Start(stack.Options{}) })

	mu           sync.Mutex
	systems      []*System
	binaryFolder *stack.Folder // nil until the binary is built
)

// System is a running cluster.
type System struct {
	*stack.Cluster
	folder *stack.Folder
	closed bool
}

// build builds the binary, with the race detector if the tests have it.
func build() (string, error) {
	// It is removed also when the tests are killed.
	f, err := stack.NewFolder()
	if err != nil {
		return "", err
	}
	mu.Lock()
	binaryFolder = f
	mu.Unlock()
	// A result of these tests is kept for as long as nothing changes that they
	// import or read (go help test); so they import what the binary is made
	// of, and read the rest.
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	sources, err := filepath.Glob(filepath.Join(root, "cmd/hikyaku/*.go"))
	if err != nil {
		return "", err
	}
	for _, source := range sources {
		if _, err := os.ReadFile(source); err != nil {
			return "", err
		}
	}
	path := filepath.Join(f.Path(), "hikyaku")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.CommandContext(context.Background(), "go", append(args, filepath.Join(root, "cmd/hikyaku"))...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
}

// moduleRoot returns the folder with go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the tests do not run in their module")
		}
		dir = filepath.Dir(dir)
	}
}

// Start starts a cluster. Main stops it if it still runs.
func Start(o stack.Options) (*System, error) {
	var err error
	if o.Binary, err = binary(); err != nil {
		return nil, err
	}
	o.Settings = append(slices.Clone(settings), o.Settings...)
	f, err := stack.NewFolder()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := stack.StartCluster(ctx, f, o)
	s := &System{Cluster: c, folder: f}
	mu.Lock()
	systems = append(systems, s)
	mu.Unlock()
	return s, err
}

// Shared returns the cluster of the test binary, which the first call starts. A
// test must repair what it breaks.
func Shared(t *testing.T) *System {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Main runs the tests on clusters with additional settings, and stops the
// clusters.
func Main(m *testing.M, more ...string) {
	settings = append(settings, more...)
	code := m.Run()
	for _, s := range systems {
		if code != 0 {
			s.printTrouble()
		}
		if err := s.Close(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	if binaryFolder != nil {
		if err := binaryFolder.Close(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// printTrouble prints the last warnings and errors that Hikyaku's processes have
// logged: the reasons for which they refused something.
func (s *System) printTrouble() {
	logs, _ := filepath.Glob(filepath.Join(s.folder.Path(), "*.log"))
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			continue // it has not started
		}
		var trouble []string
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
				trouble = append(trouble, line)
			}
		}
		const most = 20
		if len(trouble) > 0 {
			_, _ = fmt.Fprintf(os.Stderr, "%s has, at its end:\n%s", filepath.Base(log), strings.Join(trouble[max(0, len(trouble)-most):], ""))
		}
	}
}

// Close stops the cluster and checks its logs: no process may have panicked, or
// reported a data race.
func (s *System) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Timeout)
	defer cancel()
	var failure error
	if s.Cluster != nil {
		failure = s.Stop(ctx)
	}
	logs, err := filepath.Glob(filepath.Join(s.folder.Path(), "*.log"))
	if err != nil {
		return err
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
			if i := bytes.Index(text, []byte(bad)); i >= 0 {
				failure = fmt.Errorf("%s:\n%s", filepath.Base(log), text[i:min(i+4000, len(text))])
			}
		}
	}
	if folder := os.Getenv("CLUSTER_LOGS"); folder != "" {
		for _, log := range logs {
			text, _ := os.ReadFile(log)
			_ = os.WriteFile(filepath.Join(folder, strings.ReplaceAll(filepath.Base(s.folder.Path()), "/", "")+"-"+filepath.Base(log)), text, 0o600)
		}
	}
	if err := s.folder.Close(); failure == nil {
		failure = err
	}
	return failure
}

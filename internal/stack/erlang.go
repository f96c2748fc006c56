package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// erlangPlaces are where packages install Erlang's programs that are not on the
// path.
var erlangPlaces = []string{"/usr/lib/erlang/erts-*/bin", "/usr/lib/erlang/bin", "/opt/homebrew/opt/erlang/lib/erlang/erts-*/bin", "/usr/local/opt/erlang/lib/erlang/erts-*/bin"}

// startEpmd starts Erlang's port mapper on its own port; otherwise the first
// node would leave one running on the well-known port.
func startEpmd(f *Folder) (port int, err error) {
	program, err := findProgram("epmd", "erlang-base", erlangPlaces...)
	if err != nil {
		return 0, err
	}
	if port, err = FreePort(); err != nil {
		return 0, err
	}
	_, err = f.start(command{name: "epmd", path: program, args: []string{"-port", fmt.Sprint(port), "-address", "127.0.0.1"}})
	return port, err
}

// linkModules links the modules of the given folders of applications, and then
// Erlang's own, into one folder. Of a name that several have, the first is taken.
//
// Erlang looks for a module in one folder of an application after the other, and
// each look is a call that another thread makes. RabbitMQ has more than a hundred
// such folders and loads nearly a thousand modules: without this folder in front
// of them a start looks 40,000 times in vain. That is half of its processor time,
// and beside busy programs it waits for its turn every time.
func linkModules(into string, applications []string) error {
	erl, err := findProgram("erl", "erlang-base", erlangPlaces...)
	if err != nil {
		return err
	}
	if erl, err = filepath.EvalSymlinks(erl); err != nil {
		return fmt.Errorf("find Erlang's modules: %w", err)
	}
	for _, application := range append(applications, filepath.Join(filepath.Dir(filepath.Dir(erl)), "lib", "*")) {
		modules, err := filepath.Glob(filepath.Join(application, "ebin", "*.beam"))
		if err != nil {
			return err
		}
		if err := linkAll(into, modules); err != nil {
			return err
		}
	}
	return nil
}

// linkAll links files into a folder, except for names that it has already.
func linkAll(into string, files []string) error {
	for _, file := range files {
		if err := os.Symlink(file, filepath.Join(into, filepath.Base(file))); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

var erlCalls atomic.Int64

// erlCall evaluates Erlang expressions on a node and returns the value of the
// last one as Erlang prints it. env tells of the node's cookie and port mapper.
func (f *Folder) erlCall(ctx context.Context, node string, env []string, expressions string) (string, error) {
	program, err := findProgram("erl_call", "erlang-base", erlangPlaces...)
	if err != nil {
		return "", err
	}
	// The node refuses a second call of one name, and erl_call's random names are
	// the same within a second.
	name := fmt.Sprintf("call%d", erlCalls.Add(1))
	cmd := exec.CommandContext(ctx, program, "-h", name, "-sname", node, "-e")
	cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}, env)
	cmd.Stdin = strings.NewReader(expressions + ".\n")
	out, err := f.output(cmd)
	if err != nil {
		return "", fmt.Errorf("call %s: %w: %s", node, err, out)
	}
	value, ok := strings.CutPrefix(string(out), "{ok, ")
	if !ok {
		return "", fmt.Errorf("call %s: %s", node, out)
	}
	return strings.TrimSuffix(value, "}"), nil
}

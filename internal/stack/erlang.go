package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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

// Command hikyaku is the whole of Hikyaku: the server and the operator's
// tools. Every flag of a command can be given in the environment as well, as
// HIKYAKU_ and the flag's name in capitals.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // something went wrong; the message says what and how to mend it
	exitUsage = 2 // the command line or the environment cannot be understood
)

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the server."`
	User    userCommands   `cmd:"" help:"Make, list and change accounts, also while the server runs."`
	Spec    specCommand    `cmd:"" help:"Print the description of the REST API or of the socket protocol."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	cancel()
	os.Exit(code)
}

// exited carries the code with which kong wants to leave, after printing help.
type exited int

// run is main without the process around it.
func run(ctx context.Context, args, environ []string, std streams) (code int) {
	defer func() {
		if e, ok := recover().(exited); ok {
			code = int(e)
		}
	}()
	var cmds commands
	parser, err := kong.New(&cmds,
		kong.Name("hikyaku"),
		kong.Description("Hikyaku (飛脚): real-time chat that people can trust with their conversations."),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.DefaultEnvars("HIKYAKU"),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		return complain(std, exitError, err)
	}
	if err := unknownVariables(parser.Model, environ); err != nil {
		return complain(std, exitUsage, err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return complain(std, exitUsage, fmt.Errorf("%w (see hikyaku --help)", err))
	}
	if err := parsed.Run(); err != nil {
		return complain(std, exitError, err)
	}
	return exitOK
}

// complain prints one line for each thing that went wrong.
func complain(std streams, code int, err error) int {
	_, _ = fmt.Fprintf(std.err, "hikyaku: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nhikyaku: "))
	return code
}

// unknownVariables finds HIKYAKU_ variables that no flag reads: a setting that
// is mistyped must not be ignored.
func unknownVariables(model *kong.Application, environ []string) error {
	known := map[string]bool{}
	var collect func(n *kong.Node)
	collect = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, env := range f.Envs {
				known[env] = true
			}
		}
		for _, child := range n.Children {
			collect(child)
		}
	}
	collect(model.Node)
	var unknown []string
	for _, kv := range environ {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "HIKYAKU_") && !known[name] {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	sort.Strings(unknown)
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	return errors.New("unknown environment variable " + strings.Join(unknown, ", ") + "; known are " + strings.Join(names, ", "))
}

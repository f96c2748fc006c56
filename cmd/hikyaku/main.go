// Command hikyaku is the whole of Hikyaku: the server and the operator's
// tools. Every flag of a command can be given in the environment as well, as
// HIKYAKU_ and the flag's name in capitals, and in the file that --config names.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // something went wrong; the message says what and how to mend it
	exitUsage = 2 // the command line or the environment cannot be understood

	exitThreshold = 3 // a run of bench was measured, and did not pass
)

type commands struct {
	Config string `help:"YAML file of settings: names of flags, without the dashes, and values." placeholder:"FILE"`

	Serve       serveCommand       `cmd:"" help:"Run the server, or some of its roles."`
	Migrate     migrateCommand     `cmd:"" help:"Migrate a PostgreSQL database to the schema of this release."`
	User        userCommands       `cmd:"" help:"Create, list and change accounts, also while the server runs."`
	Epoch       epochCommands      `cmd:"" help:"After a restored backup: have devices look at everything anew."`
	Deadletter  deadletterCommands `cmd:"" help:"List accepted messages that could not be stored (dead letters), and requeue them."`
	Healthcheck healthcheckCommand `cmd:"" help:"Check whether a server is ready."`
	Stack       stackCommand       `cmd:"" help:"Run a whole cluster on this machine, to try it; its data is deleted when it stops."`
	Bench       benchCommands      `cmd:"" help:"Measure an installation, and check every message."`
	Spec        specCommand        `cmd:"" help:"Print the description of the REST API or of the socket protocol."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
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

// exited carries the exit code of kong, after it has printed help.
type exited int

// run is main with explicit arguments, environment and streams.
func run(ctx context.Context, args, environ []string, std streams) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			panic(e)
		}
	}()
	settings, err := readSettings(args, environ)
	if err != nil {
		return printError(std, exitError, err)
	}
	var cmds commands
	parser, err := kong.New(&cmds,
		kong.Name("hikyaku"),
		kong.Description("Hikyaku (飛脚): real-time chat that people can trust with their conversations."),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.DefaultEnvars("HIKYAKU"),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Resolvers(settings),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		return printError(std, exitError, err)
	}
	if err := unknownVariables(parser.Model, environ); err != nil {
		return printError(std, exitUsage, err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return printError(std, exitUsage, fmt.Errorf("%w (see hikyaku --help)", err))
	}
	if err := parsed.Run(); err != nil {
		if judged := (*errThreshold)(nil); errors.As(err, &judged) {
			return printError(std, exitThreshold, err)
		}
		return printError(std, exitError, err)
	}
	return exitOK
}

// printError prints one line for each error.
func printError(std streams, code int, err error) int {
	_, _ = fmt.Fprintf(std.err, "hikyaku: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nhikyaku: "))
	return code
}

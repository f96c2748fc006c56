package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// userCommands are for an operator without a browser. They work on the store,
// also while a server runs.
type userCommands struct {
	storeFlags

	Add      userAdd      `cmd:"" help:"Create an account."`
	List     userList     `cmd:"" help:"List all accounts."`
	Password userPassword `cmd:"" help:"Give an account a new password and end its sessions."`
	Disable  userDisable  `cmd:"" help:"Lock an account and end its sessions."`
	Enable   userEnable   `cmd:"" help:"Unlock an account."`
	Token    userToken    `cmd:"" help:"Create a session for a program, and print its token. With an administrator's token hikyaku bench can create and remove accounts in bulk."`
}

// storeFlags say which store a command works on.
type storeFlags struct {
	Data string `default:"./data" help:"Folder for all data (${default})." placeholder:"DIR"`
	databaseFlags
}

// operator opens the store for one command.
func (c *storeFlags) operator(ctx context.Context, std streams, do func(*app.Operator) error) error {
	return c.operate(ctx, std, false, do)
}

// operate opens the store for one command. create says whether the
// installation may be new: a first account can be made before the first start;
// the other commands need an existing installation.
func (c *storeFlags) operate(ctx context.Context, std streams, create bool, do func(*app.Operator) error) error {
	database, err := c.url()
	if err != nil {
		return err
	}
	op, err := app.OpenOperator(ctx, database, c.Data, create, slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	return errors.Join(do(op), op.Close())
}

type userAdd struct {
	Name        string `arg:"" help:"Name of the account."`
	DisplayName string `help:"Name that others see (the name)."`
	Admin       bool   `help:"Make the account an administrator. The first account always is one."`
}

// Run makes the account.
func (c *userAdd) Run(ctx context.Context, std streams, all *userCommands) error {
	secret, err := readPassword(std)
	if err != nil {
		return err
	}
	return all.operate(ctx, std, true, func(op *app.Operator) error {
		u, err := op.AddUser(ctx, c.Name, c.DisplayName, secret, c.Admin)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(std.out, "%s%s was made.\n", u.Name, adminLabel(u))
		return err
	})
}

func adminLabel(u chat.User) string {
	if u.Admin {
		return " (administrator)"
	}
	return ""
}

type userList struct{}

// Run lists the accounts.
func (c *userList) Run(ctx context.Context, std streams, all *userCommands) error {
	return all.operator(ctx, std, func(op *app.Operator) error {
		w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "NAME\tDISPLAY NAME\tMADE\tSTATE")
		err := op.EachUser(ctx, func(u chat.User) {
			state := "member"
			if u.Admin {
				state = "administrator"
			}
			if u.Disabled {
				state += ", disabled"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, u.DisplayName, u.CreatedAt.Format("2006-01-02"), state)
		})
		return errors.Join(err, w.Flush())
	})
}

type userPassword struct {
	Name string `arg:"" help:"Name of the account."`
}

// Run sets the password.
func (c *userPassword) Run(ctx context.Context, std streams, all *userCommands) error {
	secret, err := readPassword(std)
	if err != nil {
		return err
	}
	return all.operator(ctx, std, func(op *app.Operator) error {
		if err := op.SetPassword(ctx, c.Name, secret); err != nil {
			return err
		}
		_, err := fmt.Fprintf(std.out, "%s has a new password and must log in again.\n", c.Name)
		return err
	})
}

type userDisable struct {
	Name string `arg:"" help:"Name of the account."`
}

// Run locks the account.
func (c *userDisable) Run(ctx context.Context, std streams, all *userCommands) error {
	return all.setDisabled(ctx, std, c.Name, true, "is locked")
}

type userEnable struct {
	Name string `arg:"" help:"Name of the account."`
}

// Run unlocks the account.
func (c *userEnable) Run(ctx context.Context, std streams, all *userCommands) error {
	return all.setDisabled(ctx, std, c.Name, false, "can log in again")
}

type userToken struct {
	Name    string        `arg:"" help:"Name of the account."`
	Expires time.Duration `default:"24h" help:"How long the token stays valid without being used (${default})."`
}

// Run makes a session. The token goes alone to the standard output, so that it
// can be sent to a file that nobody else may read.
func (c *userToken) Run(ctx context.Context, std streams, all *userCommands) error {
	if c.Expires < time.Minute || c.Expires > 365*24*time.Hour {
		return fmt.Errorf("--expires: %s is not between 1m and 8760h; give how long the token is good without being used, such as 24h", c.Expires)
	}
	return all.operator(ctx, std, func(op *app.Operator) error {
		token, err := op.NewToken(ctx, c.Name, c.Expires)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(std.out, token)
		return err
	})
}

func (c *userCommands) setDisabled(ctx context.Context, std streams, name string, disabled bool, done string) error {
	return c.operator(ctx, std, func(op *app.Operator) error {
		if err := op.SetDisabled(ctx, name, disabled); err != nil {
			return err
		}
		_, err := fmt.Fprintf(std.out, "%s %s.\n", name, done)
		return err
	})
}

// readPassword asks twice on a terminal, and reads a line from anything else,
// so that a password is never an argument that other users could see.
func readPassword(std streams) (string, error) {
	f, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(std.in).ReadString('\n')
		if err != nil && (!errors.Is(err, io.EOF) || line == "") {
			return "", errors.New("the password is read from the standard input, which is empty; give it as one line")
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(prompt string) (string, error) {
		_, _ = fmt.Fprint(std.err, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(std.err)
		return string(b), err
	}
	one, err := ask("Password: ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	two, err := ask("Again: ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if one != two {
		return "", errors.New("the two passwords differ")
	}
	return one, nil
}

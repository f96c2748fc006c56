package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	installation "github.com/hikyaku-chat/hikyaku/internal/bench/target/hikyaku"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// administratorFlags give a run an administrator's token. Other users of the
// machine can see a command line, so there are two other ways.
type administratorFlags struct {
	AdminToken     string `help:"Token of an administrator (hikyaku user token), to create accounts in bulk. Other users can see a command line: prefer the environment variable HIKYAKU_ADMIN_TOKEN, or a file." placeholder:"TOKEN"`
	AdminTokenFile string `help:"File that holds the token." placeholder:"FILE"`
}

// token is the administrator's token; empty for none.
func (f *administratorFlags) token() (string, error) {
	if f.AdminTokenFile == "" {
		return strings.TrimSpace(f.AdminToken), nil
	}
	if f.AdminToken != "" {
		return "", errors.New("--admin-token, --admin-token-file: give one of the two")
	}
	file, err := os.Open(f.AdminTokenFile)
	if err != nil {
		return "", fmt.Errorf("--admin-token-file: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Scan()
	token := strings.TrimSpace(lines.Text())
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("--admin-token-file: %w", err)
	}
	if token == "" {
		return "", fmt.Errorf("--admin-token-file: the first line of %s is empty; hikyaku user token NAME prints a token", f.AdminTokenFile)
	}
	return token, nil
}

// benchClean removes the accounts and conversations that runs have created.
type benchClean struct {
	administratorFlags
	URL  string `default:"http://127.0.0.1:8080" help:"Address of the installation (${default})." placeholder:"URL"`
	Keep int    `help:"Number of latest runs to keep." placeholder:"N"`
}

// Run removes the batches of runs, the oldest first.
func (c *benchClean) Run(ctx context.Context, std streams) error {
	token, err := c.token()
	if err != nil {
		return err
	}
	if token == "" {
		return errors.New("--admin-token: only an administrator can do this; give a token that hikyaku user token NAME printed, as HIKYAKU_ADMIN_TOKEN or with --admin-token-file")
	}
	if err := flagged(setting.Between("keep", c.Keep, 0, math.MaxInt32, "how many of the latest runs to keep, or 0 for none")); err != nil {
		return err
	}
	way, err := client.New(c.URL)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	way = way.WithToken(token)
	batches, err := way.Batches(ctx)
	if err != nil {
		return fmt.Errorf("list what runs have left: %w", err)
	}
	batches = slices.DeleteFunc(batches, func(b client.Batch) bool { return !strings.HasPrefix(b.Name, installation.BatchPrefix) })
	slices.SortStableFunc(batches, func(a, b client.Batch) int { return int(a.CreatedAt - b.CreatedAt) })
	batches = batches[:max(len(batches)-c.Keep, 0)]
	if len(batches) == 0 {
		_, err := fmt.Fprintln(std.out, "There is nothing to remove.")
		return err
	}
	for i, b := range batches {
		_, _ = fmt.Fprintf(std.err, "%s (%d of %d), %d accounts …\n", b.Name, i+1, len(batches), b.Accounts)
		sum, err := way.RemoveBatch(ctx, b.Name, func(r client.BatchRemoval) {
			_, _ = fmt.Fprintf(std.err, "  %s\n", removed(r))
		})
		if gone := (*client.Problem)(nil); errors.As(err, &gone) && gone.Code == string(chat.CodeNotFound) {
			continue // somebody else removed the last of it
		}
		if err != nil {
			return fmt.Errorf("remove %s: %w; run the command again to go on", b.Name, err)
		}
		if _, err := fmt.Fprintf(std.out, "%s was removed: %s.\n", b.Name, removed(sum)); err != nil {
			return err
		}
	}
	return nil
}

func removed(r client.BatchRemoval) string {
	return fmt.Sprintf("%d accounts, %d conversations, %d messages", r.Accounts, r.Conversations, r.Messages)
}

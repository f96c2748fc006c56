package stack_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// checkLocked checks that a server accepts its own credentials and no others.
func checkLocked(t *testing.T, url, user string, connect func(ctx context.Context, url string) error) {
	t.Helper()
	if err := connect(t.Context(), url); err != nil {
		t.Errorf("its own address: %v", err)
	}
	for name, other := range map[string]string{
		"no password":    stacktest.WithCredentials(url, user, ""),
		"a common one":   stacktest.WithCredentials(url, user, user),
		"another's name": stacktest.WithCredentials(url, "hikyaku", "hikyaku"),
	} {
		if connect(t.Context(), other) == nil {
			t.Errorf("%s: it lets everybody in", name)
		}
	}
}

func connectPostgres(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func connectRedis(ctx context.Context, url string) error {
	c, err := redisconn.Open(ctx, url)
	if err != nil {
		return err
	}
	c.Close()
	return nil
}

func connectRabbitMQ(_ context.Context, url string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	return conn.Close()
}

// checkSecrets checks that only the owner can read files with secrets, and that
// no command line has one. The secrets are those of the addresses and the
// Erlang cookie.
func checkSecrets(t *testing.T, f *stack.Folder, url string) {
	t.Helper()
	_, rest, _ := strings.Cut(url, "://")
	_, password, _ := strings.Cut(rest[:strings.LastIndex(rest, "@")], ":")
	cookie, err := os.ReadFile(filepath.Join(f.Path(), ".erlang.cookie"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{password, string(cookie)} {
		if len(secret) < 20 {
			t.Errorf("the secret %q can be guessed", secret)
		}
		checkFiles(t, f.Path(), secret)
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			// A process that has ended has none.
			if text, err := os.ReadFile(line); err == nil && strings.Contains(string(text), secret) {
				t.Errorf("a command line holds a secret: %q", text)
			}
		}
	}
}

func checkFiles(t *testing.T, dir, secret string) {
	t.Helper()
	closed := map[string]bool{} // folders that only their owner can enter
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a server has removed it meanwhile
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		open := !closed[filepath.Dir(path)]
		if d.IsDir() {
			closed[path] = !open || info.Mode().Perm()&0o077 == 0
			return nil
		}
		if !open || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
			return nil
		}
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), secret) {
			t.Errorf("everybody can read %s, which holds a secret", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

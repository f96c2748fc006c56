package clustertest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// NoError ends the test if err is not nil.
func NoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ConnectTo connects a user to a certain process, without nginx.
func ConnectTo(t *testing.T, addr string, c *client.Client) *acceptance.User {
	t.Helper()
	direct, err := client.New("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	return acceptance.Connect(t, direct.WithToken(c.Token()))
}

// Connect connects a user through nginx.
func (s *System) Connect(t *testing.T, c *client.Client) *acceptance.User {
	t.Helper()
	return ConnectTo(t, strings.TrimPrefix(s.URL(), "http://"), c)
}

// AwaitBody waits for a message by its text.
func AwaitBody(p *acceptance.User, body string) {
	acceptance.Await(p, "message", acceptance.IsBody(body))
}

// Stop stops a process as an operator does.
func Stop(t *testing.T, m *stack.Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Timeout)
	defer cancel()
	NoError(t, m.Stop(ctx))
}

// Command runs the binary as an operator does, with the settings of the
// cluster's processes and additional ones.
func (s *System) Command(t *testing.T, set []string, args ...string) (code int, out string) {
	t.Helper()
	path, err := binary()
	NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), append(append(s.Settings(), "HIKYAKU_LISTEN=127.0.0.1:0", "HIKYAKU_ROLES=worker"), set...)...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("it runs: %s", b.String())
	}
	if err == nil {
		return 0, b.String()
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

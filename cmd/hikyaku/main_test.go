package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

type result struct {
	code     int
	out, err string
}

// hikyaku runs the command line in this process.
func hikyaku(ctx context.Context, t *testing.T, input string, environ []string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(ctx, args, environ, streams{in: strings.NewReader(input), out: &out, err: &errs})
	return result{code, out.String(), errs.String()}
}

// withTimeout returns a context for a server that must not start; one that does
// stops by itself, and the test fails.
func withTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestBadInput(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	junk, fresh := filepath.Join(dir, "junk"), t.TempDir()
	if err := os.MkdirAll(junk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(junk, "hikyaku.db"), bytes.Repeat([]byte("not a database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		environ []string
		args    []string
		code    int
		says    []string
	}{
		{"unknown flag", nil, []string{"serve", "--colour"}, exitUsage, []string{"--colour"}},
		{"unknown command", nil, []string{"dance"}, exitUsage, []string{"dance"}},
		{"unknown variable", []string{"HIKYAKU_COLOUR=red"}, []string{"version"}, exitUsage, []string{"HIKYAKU_COLOUR", "hikyaku serve --help"}},
		{"mistyped variable", []string{"HIKYAKU_LISTN=:80"}, []string{"version"}, exitUsage, []string{"HIKYAKU_LISTN, did you mean HIKYAKU_LISTEN?", "hikyaku serve --help"}},
		{"mistyped flag", nil, []string{"serve", "--lisen", ":80"}, exitUsage, []string{"--lisen", `did you mean "--listen"`, "--help"}},
		{"bad value", nil, []string{"serve", "--registration", "maybe"}, exitUsage, []string{"--registration", "open"}},
		{"bad duration", nil, []string{"serve", "--drain", "soon"}, exitUsage, []string{"--drain"}},
		{"bad address", nil, []string{"serve", "--listen", "8080", "--data", dir}, exitError, []string{"--listen", "127.0.0.1:8080"}},
		{"port taken", nil, []string{"serve", "--listen", taken.Addr().String(), "--data", dir}, exitError, []string{"--listen", "in use"}},
		{"bad role", nil, []string{"serve", "--roles", "dancer", "--data", dir}, exitError, []string{"--roles", "dancer"}},
		{"role alone", nil, []string{"serve", "--roles", "api", "--data", dir}, exitError, []string{"--roles", "worker"}},
		{"folder is a file", nil, []string{"serve", "--listen", "127.0.0.1:0", "--data", file}, exitError, []string{"--data", file}},
		{"not a database", nil, []string{"serve", "--listen", "127.0.0.1:0", "--data", junk}, exitError, []string{junk}},
		{"users who cannot be paired", nil, []string{"bench", "latency", "--users", "7"}, exitError, []string{"--users", "even"}},
		{"rates that fall", nil, []string{"bench", "latency", "--from", "100", "--to", "50"}, exitError, []string{"--from", "--to"}},
		{"a condition of nothing", nil, []string{"bench", "latency", "--fail-if", "p94>1ms"}, exitError, []string{"--fail-if", "p94", "p95"}},
		{"nothing to measure", nil, []string{"bench", "latency", "--url", "http://127.0.0.1:1", "--users", "2"}, exitError, []string{"127.0.0.1:1"}},
		{"clean without a token", nil, []string{"bench", "clean"}, exitError, []string{"--admin-token", "hikyaku user token"}},
		{"a token file that is not there", nil, []string{"bench", "clean", "--admin-token-file", dir + "/none"}, exitError, []string{"--admin-token-file", "none"}},
		{"an empty token file", nil, []string{"bench", "latency", "--admin-token-file", os.DevNull}, exitError, []string{"--admin-token-file", "empty"}},
		{"clean with nobody there", nil, []string{"bench", "clean", "--url", "http://127.0.0.1:1", "--admin-token-file", file}, exitError, []string{"127.0.0.1:1"}},
		{"a token of nobody's", nil, []string{"user", "token", "nobody", "--data", fresh}, exitError, []string{"nobody", "hikyaku user list"}},
		{"a token for no time", nil, []string{"user", "token", "aki", "--expires", "1s", "--data", dir}, exitError, []string{"--expires", "24h"}},
		{"no password", nil, []string{"user", "add", "aki", "--data", dir}, exitError, []string{"password"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := hikyaku(withTimeout(t), t, "", tt.environ, tt.args...)
			if r.code != tt.code {
				t.Errorf("exit %d, want %d", r.code, tt.code)
			}
			last := r.err[strings.LastIndex(strings.TrimSuffix(r.err, "\n"), "\n")+1:]
			for _, word := range tt.says {
				if !strings.Contains(last, word) {
					t.Errorf("the last line does not name %q: %q", word, last)
				}
			}
		})
	}
}

// A limit that makes no sense is refused by its name, with what it could be.
func TestBadLimits(t *testing.T) {
	dir := t.TempDir()
	serve := []string{"serve", "--listen", "127.0.0.1:0", "--data", dir}
	cluster := append(slices.Clone(serve), "--database", "postgres://127.0.0.1:1/x", "--broker", "amqp://127.0.0.1:1", "--redis", "redis://127.0.0.1:1")
	for _, tt := range []struct {
		args   []string
		flag   string
		values []string
		says   string
	}{
		{serve, "--linger", []string{"-1s", "101ms"}, "between 0s and 100ms; give how long messages may wait for company, such as 4ms"},
		{serve, "--rate", []string{"0", "-1", "NaN", "Inf", "1e7"}, "between 0.001 and 1000000; give messages per second, such as 20"},
		{serve, "--burst", []string{"0", "-1"}, "such as 60"},
		{serve, "--in-flight", []string{"0", "-5"}, "such as 128"},
		{serve, "--connections", []string{"0", "-1"}, "such as 50"},
		{serve, "--heartbeat", []string{"0s", "-1s", "1us", "2m"}, "between 100ms and 1m0s; give the time between heartbeats, such as 3s"},
		{serve, "--max-heartbeat", []string{"2m"}, "between 3s and 1m0s; give the time between heartbeats of a quiet client, such as 30s"},
		{serve, "--check-interval", []string{"0s", "-1s", "2h"}, "between 100ms and 1h0m0s; give how often a device is compared with the database, such as 3m"},
		{serve, "--goodbye-spread", []string{"0s", "-1s", "2000000h"}, "such as 5s"},
		{serve, "--drain", []string{"0s", "-1s"}, "such as 20s"},
		{serve, "--push-delay", []string{"0s", "-1s", "1h"}, "such as 5s"},
		{serve, "--hash-memory", []string{"0", "-1", "7", "4194305"}, "such as 19456"},
		{serve, "--hash-at-once", []string{"0", "-1"}, "such as 4"},
		{cluster, "--partitions", []string{"0", "-1", "257"}, "between 1 and 256"},
		{cluster, "--database-connections", []string{"-1", "1001"}, "such as 8"},
		{[]string{"deadletter", "list", "--broker", "amqp://127.0.0.1:1"}, "--partitions", []string{"0", "-1"}, "between 1 and 256"},
		{[]string{"stack"}, "--gateways", []string{"0", "-1"}, "between 1 and 100"},
		{[]string{"stack"}, "--apis", []string{"0", "-1"}, "between 1 and 100"},
		{[]string{"stack"}, "--workers", []string{"0", "-1"}, "between 1 and 100"},
		{[]string{"stack"}, "--rabbitmq-nodes", []string{"0", "-1"}, "between 1 and 9"},
		{[]string{"stack"}, "--port", []string{"-1", "65536"}, "between 0 and 65535"},
		{[]string{"stack", "--system=reference"}, "--workers", []string{"0", "101"}, "between 1 and 100"},
		{[]string{"stack", "--system=ejabberd"}, "--port", []string{"-1", "65536"}, "between 0 and 65535"},
		{[]string{"stack"}, "--set", []string{"RATE=1000", "HIKYAKU_RATE"}, "such as HIKYAKU_RATE=1000"},
		{[]string{"bench", "latency"}, "--users", []string{"0", "100002"}, "between 2 and 100000"},
		{[]string{"bench", "latency"}, "--from", []string{"0", "-1", "NaN"}, "such as 200"},
		{[]string{"bench", "latency"}, "--factor", []string{"1", "0", "10.5", "NaN"}, "1"},
		{[]string{"bench", "latency"}, "--halvings", []string{"-1", "21"}, "between 0 and 20"},
		{[]string{"bench", "latency"}, "--step", []string{"0s", "999ms"}, "between 1s and "},
		{[]string{"bench", "latency"}, "--warm-up", []string{"-1s"}, "0s for none"},
		{[]string{"bench", "latency"}, "--max-p95", []string{"0s", "-1s"}, "such as 170ms"},
		{[]string{"bench", "latency"}, "--processes", []string{"0", "65"}, "between 1 and 64"},
		{[]string{"bench", "latency", "--users=4,6"}, "--processes", []string{"3"}, "between 1 and 2"},
		{[]string{"bench", "latency"}, "--body", []string{"0", "31", "4001"}, "between 32 and 4000"},
		{[]string{"bench", "latency"}, "--server-pid", []string{"0", "-1"}, "a process on this machine"},
		{[]string{"bench", "burst"}, "--users", []string{"3"}, "an even number from 2 to 100000"},
		{[]string{"bench", "burst"}, "--load", []string{"0", "-1"}, "such as 20000"},
		{[]string{"bench", "burst"}, "--length", []string{"0s"}, "such as 10s"},
		{[]string{"bench", "burst"}, "--wait", []string{"-1s"}, "0s for none"},
		{[]string{"bench", "connections"}, "--count", []string{"1", "1000001"}, "between 2 and 1000000"},
		{[]string{"bench", "connections"}, "--per-second", []string{"-1"}, "0 for as fast as possible"},
		{[]string{"bench", "connections"}, "--at-once", []string{"0", "-1"}, "such as 64"},
		{[]string{"bench", "connections"}, "--hold", []string{"-1s"}, "0s for none"},
		{[]string{"bench", "connections", "--count=100"}, "--sample", []string{"1", "101"}, "between 2 and 100"},
		{[]string{"bench", "connections"}, "--rate", []string{"0"}, "such as 200"},
		{[]string{"bench", "fanout"}, "--sizes", []string{"1", "15001", "10,1"}, "between 2 and 15000"},
		{[]string{"bench", "fanout"}, "--deliveries", []string{"0"}, "such as 20000"},
		{[]string{"bench", "fanout"}, "--speakers", []string{"0"}, "such as 20"},
		{[]string{"bench", "fanout"}, "--length", []string{"0s"}, "such as 10s"},
		{[]string{"bench", "reconnect"}, "--users", []string{"15002"}, "between 2 and 15000"},
		{[]string{"bench", "reconnect"}, "--apart", []string{"-1s"}, "0s for none"},
		{[]string{"bench", "reconnect"}, "--spread", []string{"-1s"}, "0s for all at once"},
		{[]string{"bench", "reconnect"}, "--at-once", []string{"0"}, "such as 64"},
		{[]string{"bench", "soak"}, "--users", []string{"15002"}, "between 2 and 15000"},
		{[]string{"bench", "soak"}, "--acts", []string{"-1"}, "0 for none"},
		{[]string{"bench", "soak"}, "--losses", []string{"-1"}, "0 for none"},
		{[]string{"bench", "soak"}, "--window", []string{"0s"}, "such as 1m"},
		{[]string{"bench", "soak", "--window=2m"}, "--length", []string{"1m"}, "between 2m0s and "},
		{[]string{"bench", "suite", "--out=" + dir}, "--burst-length", []string{"0s"}, "such as 10s"},
		{[]string{"bench", "suite", "--out=" + dir}, "--burst-load", []string{"1e10"}, "such as 20000"},
		{[]string{"bench", "suite", "--out=" + dir}, "--connections", []string{"1"}, "between 2 and 1000000"},
		{[]string{"bench", "suite", "--out=" + dir}, "--users", []string{"1"}, "an even number"},
		{[]string{"bench", "suite", "--out=" + dir}, "--set", []string{"RATE=1000"}, "such as HIKYAKU_RATE=1000"},
		{[]string{"bench", "suite", "--out=" + dir, "--on=reference"}, "--set", []string{"HIKYAKU_RATE=1000"}, "reference is not Hikyaku"},
		{[]string{"bench", "suite", "--out=" + dir}, "--busy-loops", []string{"-1", "1001"}, "such as 2"},
		{[]string{"bench", "clean", "--admin-token=x"}, "--keep", []string{"-1"}, "0 for none"},
		{[]string{"stack", "--system=ejabberd"}, "--gateways", []string{"3"}, "ejabberd has nothing of the kind"},
		{[]string{"stack", "--system=reference"}, "--set", []string{"HIKYAKU_RATE=1000"}, "reference has nothing of the kind"},
	} {
		for _, value := range tt.values {
			arg := tt.flag + "=" + value
			t.Run(tt.args[0]+" "+arg, func(t *testing.T) {
				r := hikyaku(withTimeout(t), t, "", nil, append(slices.Clone(tt.args), arg)...)
				if r.code != exitError || r.out != "" {
					t.Errorf("%+v", r)
				}
				if !strings.HasPrefix(r.err, "hikyaku: "+tt.flag+": ") || !strings.Contains(r.err, tt.says) || strings.Count(r.err, "\n") != 1 {
					t.Errorf("it says %q", r.err)
				}
			})
		}
	}
}

func TestVariablesAreSettings(t *testing.T) {
	t.Setenv("HIKYAKU_LISTEN", "nowhere")
	r := hikyaku(withTimeout(t), t, "", os.Environ(), "serve", "--data", t.TempDir())
	if r.code != exitError || !strings.Contains(r.err, `"nowhere" is not an address`) {
		t.Errorf("%+v", r)
	}
}

func TestOperatorWithoutABrowser(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	if r := hikyaku(ctx, t, "short\n", nil, "user", "add", "aki", "--data", dir); r.code != exitError || !strings.Contains(r.err, "10 characters") {
		t.Errorf("a short password: %+v", r)
	}
	if r := hikyaku(ctx, t, "long enough\n", nil, "user", "add", "Aki", "--data", dir); r.code != exitOK || !strings.Contains(r.out, "aki (administrator)") {
		t.Fatalf("%+v", r)
	}
	if r := hikyaku(ctx, t, "long enough\n", nil, "user", "add", "AKI", "--data", dir); r.code != exitError || !strings.Contains(r.err, "in use") {
		t.Errorf("a name that is taken: %+v", r)
	}
	if r := hikyaku(ctx, t, "", nil, "user", "disable", "aki", "--data", dir); r.code != exitError || !strings.Contains(r.err, "last administrator") {
		t.Errorf("the last administrator: %+v", r)
	}
	if r := hikyaku(ctx, t, "long enough\n", nil, "user", "add", "ben", "--admin", "--data", dir); r.code != exitOK || !strings.Contains(r.out, "ben (administrator)") {
		t.Errorf("%+v", r)
	}
	if r := hikyaku(ctx, t, "", nil, "user", "disable", "aki", "--data", dir); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if r := hikyaku(ctx, t, "", nil, "user", "list", "--data", dir); !strings.Contains(r.out, "aki") || !strings.Contains(r.out, "disabled") {
		t.Errorf("%+v", r)
	}
	if r := hikyaku(ctx, t, "", nil, "user", "enable", "nobody", "--data", dir); r.code != exitError || !strings.Contains(r.err, "nobody") {
		t.Errorf("%+v", r)
	}
	if r := hikyaku(ctx, t, "another one\n", nil, "user", "password", "aki", "--data", dir); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if r := hikyaku(ctx, t, "", nil, "epoch", "new", "--data", dir); r.code != exitOK || !strings.Contains(r.out, "new epoch") {
		t.Errorf("%+v", r)
	}
	if r := hikyaku(ctx, t, "", nil, "epoch", "new", "--data", dir+"/absent"); r.code != exitError || !strings.Contains(r.err, "no installation") {
		t.Errorf("no installation: %+v", r)
	}
}

// A second server on the folder is refused; an operator beside it is not.
func TestOneServerForAFolder(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan struct{})
	first := make(chan result, 1)
	go func() {
		var errs bytes.Buffer
		out := &notifier{ready: ready}
		code := run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data", dir, "--log-level", "error"}, nil, streams{in: strings.NewReader(""), out: out, err: &errs})
		first <- result{code: code, err: errs.String()}
	}()
	select {
	case <-ready:
	case r := <-first:
		t.Fatalf("%+v", r)
	case <-time.After(20 * time.Second):
		t.Fatal("the server is not ready")
	}
	if r := hikyaku(withTimeout(t), t, "", nil, "serve", "--listen", "127.0.0.1:0", "--data", dir); r.code != exitError || !strings.Contains(r.err, "in use by another hikyaku") {
		t.Errorf("a second server: %+v", r)
	}
	if r := hikyaku(t.Context(), t, "long enough\n", nil, "user", "add", "aki", "--data", dir); r.code != exitOK {
		t.Errorf("an operator beside the server: %+v", r)
	}
	cancel()
	if r := <-first; r.code != exitOK {
		t.Errorf("the first server ended with %+v", r)
	}
}

// notifier signals when something was written.
type notifier struct {
	ready chan struct{}
	told  bool
}

func (n *notifier) Write(p []byte) (int, error) {
	if !n.told {
		n.told = true
		close(n.ready)
	}
	return len(p), nil
}

func TestSpec(t *testing.T) {
	for which, word := range map[string]string{"openapi": `"openapi": "3.1`, "asyncapi": `"asyncapi": "3.0`} {
		if r := hikyaku(t.Context(), t, "", nil, "spec", which); r.code != exitOK || !strings.Contains(r.out, word) {
			t.Errorf("%s: exit %d, %.100s", which, r.code, r.out)
		}
	}
}

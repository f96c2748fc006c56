package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What runs with an administrator's token have left is removed, and nothing
// else; the token comes from the operator's command.
func TestBenchClean(t *testing.T) {
	dir := t.TempDir()
	url, data := serving(t, dir), filepath.Join(dir, "data")
	if r := hikyaku(t.Context(), t, "long enough\n", nil, "user", "add", "aki", "--admin", "--data", data); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	r := hikyaku(t.Context(), t, "", nil, "user", "token", "aki", "--expires", "1h", "--data", data)
	token := strings.TrimSpace(r.out)
	if r.code != exitOK || !strings.HasPrefix(token, "hky_") || strings.ContainsAny(token, " \n") {
		t.Fatalf("%+v", r)
	}
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(r.out), 0o600); err != nil {
		t.Fatal(err)
	}
	clean := []string{"bench", "clean", "--url", url}
	with := append(clean, "--admin-token-file", file)
	if r := hikyaku(t.Context(), t, "", nil, with...); r.code != exitOK || !strings.Contains(r.out, "nothing to remove") {
		t.Errorf("%+v", r)
	}
	report := filepath.Join(dir, "report.json")
	for range 2 {
		r := hikyaku(t.Context(), t, "", nil, "bench", "latency", "--url", url, "--setup-token", setupToken, "--users", "4", "--from", "50", "--to", "50", "--step", "1s",
			"--warm-up", "0s", "--max-p95", "1m", "--json", report, "--admin-token-file", file)
		if r.code != exitOK || !strings.Contains(r.out, "50 sent, 50 accepted") {
			t.Fatalf("%+v", r)
		}
		if written, err := os.ReadFile(report); err != nil || strings.Contains(r.out+r.err+string(written), token) {
			t.Errorf("the token is shown, or %v", err)
		}
	}
	// Of two runs one is kept, by its age; then that goes as well.
	r = hikyaku(t.Context(), t, "", nil, append(with, "--keep", "1")...)
	if r.code != exitOK || strings.Count(r.out, "was removed: 4 accounts, 2 conversations, 50 messages.") != 1 || strings.Contains(r.err, token) {
		t.Errorf("%+v", r)
	}
	t.Setenv("HIKYAKU_ADMIN_TOKEN", token)
	r = hikyaku(t.Context(), t, "", os.Environ(), clean...)
	if r.code != exitOK || strings.Count(r.out, "was removed: 4 accounts, 2 conversations, 50 messages.") != 1 {
		t.Errorf("%+v", r)
	}
	if r := hikyaku(t.Context(), t, "", nil, "user", "list", "--data", data); r.code != exitOK || strings.Contains(r.out, "bench-") || !strings.Contains(r.out, "aki") {
		t.Errorf("%+v", r)
	}
	if r := hikyaku(t.Context(), t, "", nil, append(with, "--url", url)...); r.code != exitError || !strings.Contains(r.err, "one of the two") {
		t.Errorf("two tokens: %+v", r)
	}
}

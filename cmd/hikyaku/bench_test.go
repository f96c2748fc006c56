package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// A run against a server of this binary: its report is written, and conditions
// decide the exit code.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	url := serving(t, dir)
	file := filepath.Join(dir, "report.json")
	args := []string{"bench", "latency", "--url", url, "--users", "4", "--from", "50", "--to", "100", "--factor", "2", "--step", "1s", "--warm-up", "0s", "--max-p95", "1m"}
	r := hikyaku(t.Context(), t, "", nil, append(args, "--json", file, "--fail-if", "lost>0")...)
	if r.code != exitOK || !strings.Contains(r.out, "150 sent, 150 accepted") {
		t.Errorf("%+v", r)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got report.Report
	if err := json.Unmarshal(b, &got); err != nil || got.Schema != report.Schema || got.Rate != 100 || got.Sent != 150 || got.Delivered != 300 {
		t.Errorf("%v: %s", err, b)
	}
	r = hikyaku(t.Context(), t, "", nil, append(args, "--to", "50", "--fail-if", "sent>=50")...)
	if r.code != exitJudged || !strings.Contains(r.err, "sent>=50 (it is 50)") {
		t.Errorf("%+v", r)
	}
}

// serving runs a server of this binary on a folder, and gives its address.
func serving(t *testing.T, dir string) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out := &lines{ready: make(chan string, 1)}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{
			"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--hash-memory", "64", "--rate", "1000", "--burst", "1000",
		}, nil, streams{in: strings.NewReader(""), out: out, err: out})
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	select {
	case url := <-out.ready:
		return url
	case code := <-ended:
		ended <- code
		t.Fatalf("the server ended with %d", code)
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not start")
	}
	return ""
}

// lines hears the address that a server prints.
type lines struct{ ready chan string }

func (l *lines) Write(p []byte) (int, error) {
	if _, url, ok := strings.Cut(strings.TrimSpace(string(p)), "is ready: open "); ok {
		l.ready <- url
	}
	return len(p), nil
}

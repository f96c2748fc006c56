package stack_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// newFolder makes a folder for servers, which are stopped with the test: none
// may be left, nor a process that one of them started.
func newFolder(t *testing.T) *stack.Folder {
	t.Helper()
	f, err := stack.NewFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		// What a server leaves behind is told to end, and does so soon.
		for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			left := processesOf(t, f.Path())
			if len(left) == 0 {
				return
			}
			if time.Now().After(until) {
				t.Errorf("after the end there still run %q", left)
				return
			}
		}
	})
	return f
}

// processesOf is the command lines of all processes whose environment names a
// folder, as that of every server in it does.
func processesOf(t *testing.T, folder string) (lines []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(all) == 0 {
		t.Fatalf("there is no list of processes: %v", err)
	}
	for _, path := range all {
		// One that has ended meanwhile has none.
		if env, err := os.ReadFile(path); err == nil && bytes.Contains(env, []byte("HOME="+folder+"\x00")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			lines = append(lines, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return lines
}

func TestEjabberd(t *testing.T) {
	f := newFolder(t)
	e, err := stack.StartEjabberd(t.Context(), f, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(processesOf(t, f.Path())) < 2 {
		t.Error("the servers are not found among all processes")
	}
	checkAnswers(t, e.URL()+"/ws", http.StatusOK)
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkAnswers(t, e.URL()+"/ws", http.StatusOK)
	config, err := pgx.ParseConfig(e.Postgres.URL("ejabberd"))
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, f.Path(), config.Password)
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestReference(t *testing.T) {
	f := newFolder(t)
	r, err := stack.StartReference(t.Context(), f, stack.ReferenceOptions{Gateways: 3, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.URLs()) != 3 || len(r.Gateways) != 3 || len(r.Workers) != 2 {
		t.Errorf("%d addresses, %d gateways, %d workers", len(r.URLs()), len(r.Gateways), len(r.Workers))
	}
	for _, url := range r.URLs() {
		checkAnswers(t, url+"/ws", http.StatusNotFound)
	}
	checkSecrets(t, f, r.RabbitMQ.URL())
	if err := connectPostgres(t.Context(), r.Database()); err != nil {
		t.Error(err)
	}
}

// checkAnswers makes sure that a server is there.
func checkAnswers(t *testing.T, url string, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != want {
		t.Errorf("%s answers %s, want %d", url, res.Status, want)
	}
}

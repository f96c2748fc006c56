package stack_test

import (
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// newFolder creates a folder for servers. At the end of the test they are
// stopped, and the test fails if a process is left.
func newFolder(t *testing.T) *stack.Folder {
	t.Helper()
	stacktest.SkipIfShort(t)
	f, err := stack.NewFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		waitUntilNoneIsLeft(t, f.Path(), 0)
	})
	return f
}

func TestEjabberd(t *testing.T) {
	f := newFolder(t)
	e, err := stack.StartEjabberd(t.Context(), f, stack.EjabberdOptions{})
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

// checkAnswers checks that a server answers.
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

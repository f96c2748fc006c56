package stack_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestServersStartStopAndComeBack(t *testing.T) {
	stacktest.SkipIfShort(t)
	f, err := stack.NewFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		for _, p := range f.Processes() {
			if p.Running() {
				t.Errorf("%s runs after the folder was closed", p.Name())
			}
		}
	})
	t.Run("PostgreSQL with a replica", func(t *testing.T) {
		p, err := stack.StartPostgres(t.Context(), f, "postgresql")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.CreateDatabase(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
		r, err := p.StartReplica(t.Context(), "replica")
		if err != nil {
			t.Fatal(err)
		}
		b, err := stack.StartPgBouncer(t.Context(), f, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, url := range []string{p.URL("one"), r.URL("one"), b.URL(p.URL("one"))} {
			checkLocked(t, url, "postgres", connectPostgres)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("Redis", func(t *testing.T) {
		r, err := stack.StartRedis(t.Context(), f, "redis")
		if err != nil {
			t.Fatal(err)
		}
		checkLocked(t, r.URL(), "", connectRedis)
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("Redis Cluster", func(t *testing.T) {
		c, err := stack.StartRedisCluster(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		checkLocked(t, c.URL(), "", connectRedis)
	})
	t.Run("nginx", func(t *testing.T) {
		up := stack.Upstreams{Gateways: []string{"127.0.0.1:1"}, APIs: []string{"127.0.0.1:1"}, Pages: []string{"127.0.0.1:1"}}
		if _, err := stack.StartNginx(t.Context(), f, 0, up); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("RabbitMQ", func(t *testing.T) {
		nodes, err := stack.StartRabbitMQ(t.Context(), f, 3)
		if err != nil {
			t.Fatal(err)
		}
		var creating sync.WaitGroup
		for i := range 4 { // also at the same time
			creating.Go(func() {
				url, err := nodes[0].CreateVHost(t.Context(), fmt.Sprint("host-", i))
				if err == nil {
					err = connectRabbitMQ(t.Context(), url)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		creating.Wait()
		checkLocked(t, nodes[2].URL(), "guest", connectRabbitMQ)
		checkSecrets(t, f, nodes[0].URL())
		if err := nodes[1].Kill(); err != nil {
			t.Fatal(err)
		}
		if err := nodes[1].Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// nginx passes on the client address that it knows: it ignores a client's own
// header, and trusts that of a trusted proxy.
func TestNginxTellsWhoTheClientIs(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"))
	}))
	t.Cleanup(echo.Close)
	f := stacktest.Folder(t)
	up := []string{strings.TrimPrefix(echo.URL, "http://")}
	n, err := stack.StartNginx(t.Context(), f, 0, stack.Upstreams{Gateways: up, APIs: up, Pages: up})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL()+"/api/v1/me", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		r.Header.Set("X-Forwarded-Proto", "https")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := ask(); got != "127.0.0.1 http" {
		t.Errorf("a client's claim: %q", got)
	}
	if err := n.Reload(stack.Upstreams{Gateways: up, APIs: up, Pages: up, TrustedProxies: []string{"127.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	for got := ""; got != "203.0.113.7 https"; got = ask() {
		if t.Context().Err() != nil || got != "" && got != "127.0.0.1 http" {
			t.Fatalf("a trusted proxy's word: %q", got)
		}
	}
}

package deployments

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

func TestSynchronousStandby(t *testing.T) {
	server, url, _ := startServer(t)
	s := postgrestest.Open(t, postgres.Config{URL: url})
	set := func(name, value string) {
		t.Helper()
		for _, sql := range []string{`ALTER SYSTEM SET ` + name + ` = '` + value + `'`, `SELECT pg_reload_conf()`} {
			if err := server.Exec(t.Context(), "postgres", sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(what string, want bool) {
		t.Helper()
		eventually.True(t, what, func() bool {
			got, err := s.SynchronousStandby(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got == want
		})
	}
	expect("none", false)
	set("synchronous_standby_names", "ANY 1 (*)")
	expect("any", true)
	set("synchronous_commit", "local")
	expect("commits that do not wait", false)
	set("synchronous_standby_names", "") // else the end would wait for one
	expect("none again", false)
}

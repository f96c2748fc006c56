package deployments

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetest"
)

// Behind PgBouncer in transaction mode the store keeps every promise.
func TestBehindPgBouncer(t *testing.T) {
	server := stacktest.Postgres(t)
	f := stacktest.Folder(t)
	bouncer, err := stack.StartPgBouncer(t.Context(), f, server)
	if err != nil {
		t.Fatal(err)
	}
	// Only the connection to the server differs, and every call uses it; so fewer
	// histories than in TestStore are enough.
	storetest.Run(t, postgrestest.NewHarness(5, func(url string) string { return bouncer.URL(url) + "&default_query_exec_mode=cache_describe" }))
}

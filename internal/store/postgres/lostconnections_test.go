package postgres_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

// When all connections were lost, as with a server that was started again, and it is
// there, nobody who reads or changes something hears of it.
func TestLostConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	url := postgrestest.NewDatabase(t)
	s := postgrestest.Open(t, postgres.Config{URL: url})
	u := postgrestest.CreateUser(t, s, "someone")
	c := postgrestest.CreateGroup(t, s, u)
	history := func() error {
		_, err := s.History(t.Context(), c, u, 1, 1<<31, false, 10)
		return err
	}
	endAll := func() {
		var reading sync.WaitGroup
		for range 8 { // each has a connection, which is not looked at again for a moment
			reading.Go(func() {
				if err := history(); err != nil {
					t.Error(err)
				}
			})
		}
		reading.Wait()
		if err := stacktest.Postgres(t).Exec(t.Context(), "postgres", fmt.Sprintf(
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", postgrestest.DatabaseName(url))); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		endAll()
		if err := history(); err != nil {
			t.Errorf("read: %v", err)
		}
		endAll()
		postgrestest.CreateGroup(t, s, u)
	}
}

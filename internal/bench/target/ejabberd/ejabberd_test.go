package ejabberd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/ejabberd"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/targettest"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// start starts a real ejabberd.
func start(t *testing.T) (*stack.Ejabberd, targettest.System) {
	t.Helper()
	f := stacktest.Folder(t)
	server, err := stack.StartEjabberd(t.Context(), f, stack.EjabberdOptions{})
	if err != nil {
		t.Fatal(err)
	}
	system, err := ejabberd.New(server.URL(), ejabberd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return server, targettest.System{Target: system}
}

func TestEjabberd(t *testing.T) {
	server, system := start(t)
	t.Run("pairs", func(t *testing.T) {
		users := targettest.TestMessages(t, system, targettest.Pairs("pairs", 10))
		if !strings.HasPrefix(users.Version(), "ejabberd ") {
			t.Errorf("the version is %q", users.Version())
		}
		// In the archive of either of a pair.
		for i, whose := range []string{"bench-pairs-0", "bench-pairs-3"} {
			targettest.TestLossIsFound(t, users, int64(i)+1, func() error {
				return server.Postgres.Exec(t.Context(), "ejabberd", fmt.Sprintf(
					"DELETE FROM archive WHERE id = (SELECT min(id) FROM archive WHERE username = '%s')", whose))
			})
		}
	})
	t.Run("groups", func(t *testing.T) {
		everybody := make([]int, 60)
		for i := range everybody {
			everybody[i] = i
		}
		targettest.TestMessages(t, system, target.Plan{Run: "groups", Users: len(everybody), Rooms: [][]int{{0, 1}, {1, 2, 3}, everybody}})
	})
	t.Run("close", func(t *testing.T) { targettest.TestClose(t, system) })
	t.Run("archive locked", func(t *testing.T) { acceptedIsArchived(t, server, system) })
	t.Run("killed", func(t *testing.T) {
		targettest.TestServerKilled(t, system, targettest.Pairs("killed", 4), server.Kill)
	})
}

// What the server takes while its archive cannot be written is not accepted, and
// not delivered, until it is.
func acceptedIsArchived(t *testing.T, server *stack.Ejabberd, system targettest.System) {
	users := targettest.Connect(t, system, targettest.Pairs("locked", 4))
	db, err := pgx.Connect(t.Context(), server.Postgres.URL("ejabberd"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "BEGIN; LOCK TABLE archive"); err != nil {
		t.Fatal(err)
	}
	r, err := users.RunPhase(t.Context(), load.Phase{Rate: 50, Duration: time.Second, Drain: time.Second})
	if err != nil || r.Sent != 50 || r.Accepted != 0 || r.Delivered != 0 || r.Missing != 50 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := db.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What waited arrives before what is sent now.
	r, err = users.RunPhase(t.Context(), load.Phase{Rate: 50, Duration: time.Second, Drain: time.Minute})
	if err != nil || r.Accepted != 50 || r.Missing != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if v := targettest.Check(t, users); !v.Passed() || v.Accepted != 100 || v.Delivered != 100 {
		t.Errorf("%+v", v)
	}
}

func TestPlansThatCannotBeServed(t *testing.T) {
	system, err := ejabberd.New("http://127.0.0.1:1", ejabberd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, rooms := range map[string][][]int{
		"alone":         {{0}},
		"with oneself":  {{1, 1}},
		"the same pair": {{0, 1}, {1, 0}},
	} {
		_, err := system.Prepare(t.Context(), target.Plan{Run: "test", Users: 2, Rooms: rooms})
		if err == nil || !strings.Contains(err.Error(), "ejabberd has") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ejabberd.New("localhost", ejabberd.Options{}); err == nil {
		t.Error("an address without a scheme was taken")
	}
}

package reference_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/reference"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/targettest"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts the real stack.
func start(t *testing.T) (*stack.Reference, targettest.System) {
	t.Helper()
	f := stacktest.Folder(t)
	r, err := stack.StartReference(t.Context(), f, stack.ReferenceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	system, err := reference.New(strings.Join(r.URLs(), ","), reference.Options{Database: r.Database()})
	if err != nil {
		t.Fatal(err)
	}
	// It handles many messages side by side.
	return r, targettest.System{Target: system, Unordered: true}
}

func TestReference(t *testing.T) {
	server, system := start(t)
	t.Run("pairs", func(t *testing.T) {
		users := targettest.TestMessages(t, system, targettest.Pairs("pairs", 10))
		targettest.TestLossIsFound(t, users, 1, func() error {
			return server.Postgres.Exec(t.Context(), "reference", "DELETE FROM ref_messages WHERE id = 'bench-pairs-2-0'")
		})
	})
	t.Run("without its database", func(t *testing.T) {
		blind, err := reference.New(strings.Join(server.URLs(), ","), reference.Options{})
		if err != nil {
			t.Fatal(err)
		}
		targettest.TestMessages(t, targettest.System{Target: blind, Unordered: true}, targettest.Pairs("blind", 4))
	})
	t.Run("close", func(t *testing.T) { targettest.TestClose(t, system) })
	t.Run("groups", func(t *testing.T) {
		_, err := system.Prepare(t.Context(), target.Plan{Run: "groups", Users: 3, Rooms: [][]int{{0, 1, 2}}})
		if err == nil || !strings.Contains(err.Error(), "in pairs only") {
			t.Errorf("a group: %v", err)
		}
	})
	// What the broker has confirmed and no process delivers is accepted, and lost:
	// the tool says both.
	t.Run("worker frozen", func(t *testing.T) {
		users := targettest.Connect(t, system, targettest.Pairs("frozen", 4))
		if err := server.Workers[0].Pause(); err != nil {
			t.Fatal(err)
		}
		// Answers may come when nobody waits for the rest any more; the verdict
		// has them.
		r, err := users.RunPhase(t.Context(), load.Phase{Rate: 50, Duration: time.Second, Drain: time.Second})
		if err != nil || r.Sent != 50 || r.Delivered != 0 || r.Missing != 50 {
			t.Errorf("%+v, %v", r, err)
		}
		// Each is missed twice: by its reader and in the table.
		if v := targettest.Check(t, users); v.Accepted != 50 || v.Lost != 100 || v.Passed() {
			t.Errorf("%+v", v)
		}
		if err := server.Workers[0].Resume(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("killed", func(t *testing.T) {
		targettest.TestServerKilled(t, system, targettest.Pairs("killed", 4), func() error {
			if err := server.Postgres.Kill(); err != nil {
				return err
			}
			return server.Gateways[1].Kill()
		})
	})
}

func TestAddressesAreChecked(t *testing.T) {
	for _, c := range []struct{ url, database string }{
		{"localhost", ""},
		{"http://127.0.0.1:1,", ""},
		{"http://127.0.0.1:1", "postgres://%"},
	} {
		if _, err := reference.New(c.url, reference.Options{Database: c.database}); err == nil {
			t.Errorf("%q with the database %q was taken", c.url, c.database)
		}
	}
}

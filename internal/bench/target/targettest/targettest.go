// Package targettest is the conformance suite of package target: what every
// driver must do, against a real server. A server that is not installed fails
// the test; scripts/systems installs it.
package targettest

import (
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// System is a system under test and its known properties.
type System struct {
	target.Target
	// Unordered is set for a system that guarantees no order: violations of
	// order are ignored.
	Unordered bool
}

// Pairs returns a plan of users who send to each other in pairs.
func Pairs(run string, users int) target.Plan {
	plan := target.Plan{Run: run, Users: users}
	for i := 0; i+1 < users; i += 2 {
		plan.Rooms = append(plan.Rooms, []int{i, i + 1})
	}
	return plan
}

const (
	rate  = 100
	drain = time.Minute
)

// TestMessages has users send in two phases and checks every message: all are
// accepted, received by everybody, and stored. It returns the users, who are
// closed with the test.
func TestMessages(t *testing.T, system System, plan target.Plan) *load.VirtualUsers {
	t.Helper()
	users := Connect(t, system, plan)
	var sent, delivered int64
	for range 2 {
		r, err := users.RunPhase(t.Context(), load.Phase{Rate: rate, Duration: time.Second, Drain: drain})
		if err != nil {
			t.Fatal(err)
		}
		if r.Sent != rate || r.Accepted != rate || r.Refused+r.Failed+r.Missing != 0 || r.Latency.P50 <= 0 || r.Answer.P50 <= 0 {
			t.Errorf("%+v", r)
		}
		sent += r.Sent
		delivered += r.Delivered
	}
	v := Check(t, users)
	if system.Unordered {
		v.OutOfOrder, v.Violations = 0, nil
	}
	if !v.Passed() || v.Accepted != sent || v.Delivered != delivered || len(v.Violations) > 0 {
		t.Errorf("%+v", v)
	}
	return users
}

// Connect prepares the users of a plan and connects them; they are closed with
// the test.
func Connect(t *testing.T, system target.Target, plan target.Plan) *load.VirtualUsers {
	t.Helper()
	users, err := load.Prepare(t.Context(), system, plan, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(users.Close)
	if _, err := users.Connect(t.Context(), load.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	return users
}

// Check returns the verdict on everything that was sent.
func Check(t *testing.T, users *load.VirtualUsers) *audit.Verdict {
	t.Helper()
	v, err := users.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestLossIsFound checks that missing stored messages are found: as many as
// lost in all, one of which forget removes. users are those that [TestMessages]
// returned.
func TestLossIsFound(t *testing.T, users *load.VirtualUsers, gone int64, forget func() error) {
	t.Helper()
	if err := forget(); err != nil {
		t.Fatal(err)
	}
	v := Check(t, users)
	if v.Lost != gone || v.Passed() || !strings.Contains(strings.Join(v.Violations, "\n"), "is not stored") {
		t.Errorf("%d messages are stored no more: %+v", gone, v)
	}
}

// TestServerKilled checks that a run soon ends with an error when the server is
// killed in the middle, and that there is no verdict without histories.
func TestServerKilled(t *testing.T, system System, plan target.Plan, kill func() error) {
	t.Helper()
	users := Connect(t, system, plan)
	killed := false
	_, err := users.RunPhase(t.Context(), load.Phase{Rate: rate, Duration: time.Minute, OnTick: func(load.Second) {
		if !killed {
			killed = true
			if err := kill(); err != nil {
				t.Error(err)
			}
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("the server was killed, and the run says %v", err)
	}
	if v, err := users.Check(t.Context()); err == nil {
		t.Errorf("the server was killed, and the verdict is %+v", v)
	}
}

// Package targettest is what every driver must do, against a real server: the
// suite of package target's contract. A server that is not installed fails the
// test: scripts/systems installs it.
package targettest

import (
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// System is a system under test, and what is known of it.
type System struct {
	target.Target
	// Unordered is that it keeps no order: what is out of it is not counted.
	Unordered bool
}

// Pairs is a plan of people who talk two by two.
func Pairs(run string, people int) target.Plan {
	plan := target.Plan{Run: run, Users: people}
	for i := 0; i+1 < people; i += 2 {
		plan.Rooms = append(plan.Rooms, []int{i, i + 1})
	}
	return plan
}

const (
	rate  = 100
	drain = time.Minute
)

// TestMessages has people talk and accounts for every message: all are accepted, come to
// everybody, and are stored; two stretches with the same people. It returns the
// crowd, which is closed with the test.
func TestMessages(t *testing.T, system System, plan target.Plan) *load.VirtualUsers {
	t.Helper()
	crowd := Connect(t, system, plan)
	var sent, delivered int64
	for range 2 {
		r, err := crowd.RunPhase(t.Context(), load.Phase{Rate: rate, Duration: time.Second, Drain: drain})
		if err != nil {
			t.Fatal(err)
		}
		if r.Sent != rate || r.Accepted != rate || r.Refused+r.Failed+r.Missing != 0 || r.Latency.P50 <= 0 || r.Answer.P50 <= 0 {
			t.Errorf("%+v", r)
		}
		sent += r.Sent
		delivered += r.Delivered
	}
	v := Check(t, crowd)
	if system.Unordered {
		v.OutOfOrder, v.Violations = 0, nil
	}
	if !v.Passed() || v.Accepted != sent || v.Delivered != delivered || len(v.Violations) > 0 {
		t.Errorf("%+v", v)
	}
	return crowd
}

// Connect makes the people of a plan and connects them; they leave with the test.
func Connect(t *testing.T, system target.Target, plan target.Plan) *load.VirtualUsers {
	t.Helper()
	crowd, err := load.Prepare(t.Context(), system, plan, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(crowd.Close)
	if _, err := crowd.Connect(t.Context(), load.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	return crowd
}

// Check is the verdict about all that a crowd said.
func Check(t *testing.T, crowd *load.VirtualUsers) *audit.Verdict {
	t.Helper()
	v, err := crowd.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestLossIsFound makes sure that messages are missed that the system has stored no
// more: as many as are gone in all, one of them by forget. crowd is one that
// [Talk] gave.
func TestLossIsFound(t *testing.T, crowd *load.VirtualUsers, gone int64, forget func() error) {
	t.Helper()
	if err := forget(); err != nil {
		t.Fatal(err)
	}
	v := Check(t, crowd)
	if v.Lost != gone || v.Passed() || !strings.Contains(strings.Join(v.Violations, "\n"), "is not stored") {
		t.Errorf("%d messages are stored no more: %+v", gone, v)
	}
}

// TestServerKilled makes sure that a run ends with an error, and soon, when the server is
// killed in the middle, and that nobody judges what cannot be asked for.
func TestServerKilled(t *testing.T, system System, plan target.Plan, kill func() error) {
	t.Helper()
	crowd := Connect(t, system, plan)
	killed := false
	_, err := crowd.RunPhase(t.Context(), load.Phase{Rate: rate, Duration: time.Minute, OnTick: func(load.Second) {
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
	if v, err := crowd.Check(t.Context()); err == nil {
		t.Errorf("the server was killed, and the verdict is %+v", v)
	}
}

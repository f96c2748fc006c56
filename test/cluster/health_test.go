package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// readiness is what a process says of itself and the servers that it works
// with. It is asked as a balancer asks, which does not wait for long.
func readiness(t *testing.T, m *stack.Member) (status int, report map[string]string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.Addr()+"/readyz", http.NoBody)
	must(t, err)
	balancer := http.Client{Timeout: 5 * time.Second}
	answer, err := balancer.Do(r)
	if err != nil {
		return 0, map[string]string{"readyz": err.Error()}
	}
	defer func() { _ = answer.Body.Close() }()
	must(t, json.NewDecoder(answer.Body).Decode(&report))
	return answer.StatusCode, report
}

// all waits until every process has the readiness that want says, with a word
// on each of the servers that are named.
func (s *system) all(t *testing.T, want func(m *stack.Member) int, away ...string) {
	t.Helper()
	for _, m := range s.Members("") {
		if m.Roles == "ui" {
			continue
		}
		var seen string
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			status, report := readiness(t, m)
			seen = fmt.Sprint(status, " ", report)
			right := status == want(m)
			for name, state := range report {
				right = right && (state != "ok") == strings.Contains(strings.Join(away, " "), name)
			}
			if right {
				break
			}
			if time.Since(began) > patience {
				t.Fatalf("%s: %s; it should be %d, without %v", m.Name(), seen, want(m), away)
			}
		}
	}
}

func ready(*stack.Member) int { return http.StatusOK }

// Whatever is away, people are sent to the processes that can still do
// something for them, and the report says what it is.
func TestReadiness(t *testing.T) {
	s := cluster(t)
	s.all(t, ready)
	t.Run("Redis hangs", func(t *testing.T) {
		must(t, s.Redis[0].Pause())
		s.all(t, ready, "redis")
		must(t, s.Redis[0].Resume())
		s.all(t, ready)
	})
	t.Run("RabbitMQ is away", func(t *testing.T) {
		must(t, s.RabbitMQ[0].Kill())
		s.all(t, func(m *stack.Member) int {
			if m.Roles == "worker" || m.Roles == "push" {
				return http.StatusServiceUnavailable // they have nothing to do
			}
			return http.StatusOK
		}, "broker", "queue")
		must(t, s.RabbitMQ[0].Start(t.Context()))
		s.all(t, ready)
	})
	t.Run("PostgreSQL is away", func(t *testing.T) {
		must(t, s.Postgres.Kill())
		s.all(t, func(*stack.Member) int { return http.StatusServiceUnavailable }, "database")
		must(t, s.Postgres.Start(t.Context()))
		s.all(t, ready)
	})
}

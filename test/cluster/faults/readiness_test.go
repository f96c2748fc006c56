package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// readiness is what a process says of itself and the servers that it works
// with. It is asked as a balancer asks, which does not wait for long.
func readiness(t *testing.T, m *stack.Member) (status int, report map[string]string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.Addr()+"/readyz", http.NoBody)
	clustertest.Must(t, err)
	balancer := http.Client{Timeout: 5 * time.Second}
	answer, err := balancer.Do(r)
	if err != nil {
		return 0, map[string]string{"readyz": err.Error()}
	}
	defer func() { _ = answer.Body.Close() }()
	clustertest.Must(t, json.NewDecoder(answer.Body).Decode(&report))
	return answer.StatusCode, report
}

// all waits until every process has the readiness that want says, with a word
// on each of the servers that are named.
func all(t *testing.T, s *clustertest.System, want func(m *stack.Member) int, away ...string) {
	t.Helper()
	for _, m := range s.Members("") {
		if m.Roles == "ui" {
			continue
		}
		eventually.Nil(t, fmt.Sprintf("%s says %d, without %v", m.Name(), want(m), away), func() error {
			status, report := readiness(t, m)
			right := status == want(m)
			for name, state := range report {
				right = right && (state != "ok") == strings.Contains(strings.Join(away, " "), name)
			}
			if !right {
				return fmt.Errorf("it says %d %v", status, report)
			}
			return nil
		})
	}
}

func ready(*stack.Member) int { return http.StatusOK }

// Whatever is away, people are sent to the processes that can still do
// something for them, and the report says what it is.
func TestReadiness(t *testing.T) {
	s := clustertest.Shared(t)
	all(t, s, ready)
	t.Run("Redis hangs", func(t *testing.T) {
		clustertest.Must(t, s.Redis[0].Pause())
		all(t, s, ready, "redis")
		clustertest.Must(t, s.Redis[0].Resume())
		all(t, s, ready)
	})
	t.Run("RabbitMQ is away", func(t *testing.T) {
		clustertest.Must(t, s.RabbitMQ[0].Kill())
		all(t, s, func(m *stack.Member) int {
			if m.Roles == "worker" || m.Roles == "push" {
				return http.StatusServiceUnavailable // they have nothing to do
			}
			return http.StatusOK
		}, "broker", "queue")
		clustertest.Must(t, s.RabbitMQ[0].Start(t.Context()))
		all(t, s, ready)
	})
	t.Run("PostgreSQL is away", func(t *testing.T) {
		clustertest.Must(t, s.Postgres.Kill())
		all(t, s, func(*stack.Member) int { return http.StatusServiceUnavailable }, "database")
		clustertest.Must(t, s.Postgres.Start(t.Context()))
		all(t, s, ready)
	})
}

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

// readiness requests the readiness report of a process. The timeout is that of
// a load balancer, which does not wait for long.
func readiness(t *testing.T, m *stack.Member) (status int, report map[string]string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.Addr()+"/readyz", http.NoBody)
	clustertest.NoError(t, err)
	balancer := http.Client{Timeout: 5 * time.Second}
	answer, err := balancer.Do(r)
	if err != nil {
		return 0, map[string]string{"readyz": err.Error()}
	}
	defer func() { _ = answer.Body.Close() }()
	clustertest.NoError(t, json.NewDecoder(answer.Body).Decode(&report))
	return answer.StatusCode, report
}

// awaitReadiness waits until every process has the status that want returns,
// and reports exactly the servers in away as unavailable.
func awaitReadiness(t *testing.T, s *clustertest.System, want func(m *stack.Member) int, away ...string) {
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

func statusOK(*stack.Member) int { return http.StatusOK }

// Whatever server is away, clients are sent to the processes that still work,
// and the report names the server.
func TestReadiness(t *testing.T) {
	s := clustertest.Shared(t)
	awaitReadiness(t, s, statusOK)
	t.Run("Redis hangs", func(t *testing.T) {
		clustertest.NoError(t, s.Redis[0].Pause())
		awaitReadiness(t, s, statusOK, "redis")
		clustertest.NoError(t, s.Redis[0].Resume())
		awaitReadiness(t, s, statusOK)
	})
	t.Run("RabbitMQ is away", func(t *testing.T) {
		clustertest.NoError(t, s.RabbitMQ[0].Kill())
		awaitReadiness(t, s, func(m *stack.Member) int {
			if m.Roles == "worker" || m.Roles == "push" {
				return http.StatusServiceUnavailable // they have nothing to do
			}
			return http.StatusOK
		}, "broker", "queue")
		clustertest.NoError(t, s.RabbitMQ[0].Start(t.Context()))
		awaitReadiness(t, s, statusOK)
	})
	t.Run("PostgreSQL is away", func(t *testing.T) {
		clustertest.NoError(t, s.Postgres.Kill())
		awaitReadiness(t, s, func(*stack.Member) int { return http.StatusServiceUnavailable }, "database")
		clustertest.NoError(t, s.Postgres.Start(t.Context()))
		awaitReadiness(t, s, statusOK)
	})
}

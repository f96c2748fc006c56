package restarts

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// Every process of Hikyaku is killed, one after the other, and comes back.
func TestKilledProcesses(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.Begin(t)
	for _, m := range s.Members("") {
		tr.While()
		clustertest.Must(t, m.Kill())
		began := time.Now()
		tr.Flows() // without it
		t.Logf("%s: %v until all went on without it", m.Name(), time.Since(began).Round(time.Millisecond))
		clustertest.Must(t, m.Start(t.Context()))
		t.Logf("%s: ready again after %v", m.Name(), time.Since(began).Round(time.Millisecond))
	}
	tr.Flows()
	tr.Verify()
}

// Every process is stopped and started anew, as a new release is rolled out.
func TestRollingRestart(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.Begin(t)
	for _, m := range s.Members("") {
		tr.While()
		clustertest.Stop(t, m)
		clustertest.Must(t, m.Start(t.Context()))
	}
	tr.Flows()
	tr.Verify()
}

// Processes are added and taken away.
func TestScaling(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.Begin(t)
	for _, roles := range []string{"worker", "gateway", "api,ui"} {
		first, err := s.Add(t.Context(), roles)
		clustertest.Must(t, err)
		tr.While()
		second, err := s.Add(t.Context(), roles)
		clustertest.Must(t, err)
		tr.While()
		clustertest.Must(t, s.Remove(t.Context(), first))
		tr.While()
		clustertest.Must(t, s.Remove(t.Context(), second))
	}
	tr.Flows()
	tr.Verify()
}

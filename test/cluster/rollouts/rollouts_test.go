package rollouts

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// Every process is stopped and started anew, as a new release is rolled out.
func TestRollingRestart(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	for _, m := range s.Members("") {
		tr.SendMore()
		clustertest.Stop(t, m)
		clustertest.NoError(t, m.Start(t.Context()))
	}
	tr.AwaitDelivery()
	tr.Verify()
}

// Processes are added and taken away.
func TestScaling(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	for _, roles := range []string{"worker", "gateway", "api,ui"} {
		first, err := s.Add(t.Context(), roles)
		clustertest.NoError(t, err)
		tr.SendMore()
		second, err := s.Add(t.Context(), roles)
		clustertest.NoError(t, err)
		tr.SendMore()
		clustertest.NoError(t, s.Remove(t.Context(), first))
		tr.SendMore()
		clustertest.NoError(t, s.Remove(t.Context(), second))
	}
	tr.AwaitDelivery()
	tr.Verify()
}

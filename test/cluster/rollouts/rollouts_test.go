package rollouts

import (
	"testing"
	"time"

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

// Processes are added, and take over from the first ones, which are removed: a
// device stays with its gateway until that goes, so it meets an added one then.
func TestScaling(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	for _, roles := range []string{"worker", "gateway", "api,ui"} {
		first := s.Members(roles)
		for range first {
			_, err := s.Add(t.Context(), roles)
			clustertest.NoError(t, err)
			tr.SendMore()
		}
		for _, m := range first {
			began := time.Now()
			clustertest.NoError(t, s.Remove(t.Context(), m))
			t.Logf("%s stopped in %v", m.Name(), time.Since(began).Round(time.Millisecond))
			tr.SendMore()
		}
	}
	tr.AwaitDelivery()
	tr.Verify()
}

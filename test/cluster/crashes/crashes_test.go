package crashes

import (
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// Every process of Hikyaku is killed, one after the other, and comes back.
func TestKilledProcesses(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	for _, m := range s.Members("") {
		tr.SendMore()
		clustertest.NoError(t, m.Kill())
		began := time.Now()
		tr.AwaitDelivery() // without it
		t.Logf("%s: %v until all went on without it", m.Name(), time.Since(began).Round(time.Millisecond))
		clustertest.NoError(t, m.Start(t.Context()))
		t.Logf("%s: ready again after %v", m.Name(), time.Since(began).Round(time.Millisecond))
	}
	tr.AwaitDelivery()
	tr.Verify()
}

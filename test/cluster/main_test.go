// Package cluster tests a whole cluster as users and operators use it.
package cluster

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// stableSettings are for users who stay on one connection. A busy machine must
// not end it, and they measure when a draining gateway lets them go.
var stableSettings = []string{"HIKYAKU_HEARTBEAT=15s", "HIKYAKU_GOODBYE_SPREAD=8s"}

func TestMain(m *testing.M) { clustertest.Main(m, stableSettings...) }

// Package cluster tests what people and operators do with a whole cluster.
package cluster

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// stableSettings are settings for those who stay on one connection, which a machine that
// is busy must not end, and who tell when a gateway lets them go.
var stableSettings = []string{"HIKYAKU_HEARTBEAT=15s", "HIKYAKU_GOODBYE_SPREAD=8s"}

func TestMain(m *testing.M) { clustertest.Main(m, stableSettings...) }

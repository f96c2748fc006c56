// Package restarts tests what becomes of messages when Hikyaku's processes come and go.
package restarts

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

func TestMain(m *testing.M) { clustertest.Main(m) }

// Package hangs tests delivery while a server of the cluster hangs.
package hangs

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

func TestMain(m *testing.M) { clustertest.Main(m) }

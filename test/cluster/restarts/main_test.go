// Package restarts tests delivery while Hikyaku's processes stop and start.
package restarts

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

func TestMain(m *testing.M) { clustertest.Main(m) }

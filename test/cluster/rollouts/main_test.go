// Package rollouts tests delivery while an operator replaces, adds and removes
// Hikyaku's processes.
package rollouts

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

func TestMain(m *testing.M) { clustertest.Main(m) }

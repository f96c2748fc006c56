// Package crashes tests delivery while Hikyaku's processes are killed.
package crashes

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

func TestMain(m *testing.M) { clustertest.Main(m) }

// Package nodes tests delivery while nodes of clustered servers fail.
package nodes

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

func TestMain(m *testing.M) { clustertest.Main(m) }

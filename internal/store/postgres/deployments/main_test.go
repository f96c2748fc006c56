// Package deployments tests the PostgreSQL store with servers as operators run
// them: behind a pooler, restarted, with replicas, failed over, restored.
package deployments

import (
	"log/slog"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func second[T any](_ T, err error) error { return err }

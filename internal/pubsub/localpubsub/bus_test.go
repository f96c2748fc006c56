package localpubsub_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/localpubsub"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/pubsubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	pubsubtest.Run(t, pubsubtest.Harness{
		Open: func(t *testing.T, queue int) pubsub.Bus {
			t.Helper()
			b, err := localpubsub.New(localpubsub.Config{Queue: queue})
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	})
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := localpubsub.New(localpubsub.Config{Queue: -1}); err == nil || !strings.HasPrefix(err.Error(), "bus-queue: -1 is not between 1 and ") {
		t.Errorf("a queue of -1: %v", err)
	}
}

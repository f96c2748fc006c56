package localpubsub_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/localpubsub"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/pubsubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	pubsubtest.Run(t, pubsubtest.Harness{
		Open: func(_ *testing.T, queue int) pubsub.Bus { return localpubsub.New(queue) },
	})
}

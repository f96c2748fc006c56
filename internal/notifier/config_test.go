package notifier_test

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/notifier"
)

func TestConfig(t *testing.T) {
	for _, cfg := range []notifier.Config{{}, {Delay: -1}} {
		if _, err := notifier.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

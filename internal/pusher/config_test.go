package pusher_test

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/pusher"
)

func TestConfig(t *testing.T) {
	for _, cfg := range []pusher.Config{{}, {Delay: -1}} {
		if _, err := pusher.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

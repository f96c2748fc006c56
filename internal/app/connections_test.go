package app_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

// One user may have so many connections to a gateway. One more is refused, and is
// taken when another has ended.
func TestConnectionsOfOneUser(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Gateway.ConnectionsPerUser = 2
	aki := acceptance.Join(t, start(t, cfg).URL(), "aki")
	laptop := acceptance.Connect(t, aki.Client)
	// Also when they are opened at the same time as others.
	var more sync.WaitGroup
	for range 20 {
		more.Go(func() {
			s, err := aki.Dial(context.Background(), nil)
			if err == nil {
				s.Close()
			}
			var refused ws.StatusError
			if !errors.As(err, &refused) || int(refused) != http.StatusTooManyRequests {
				t.Errorf("the third connection: %v", err)
			}
		})
	}
	more.Wait()
	laptop.Socket.Close()
	eventually.True(t, "another connection is taken", func() bool {
		s, err := aki.Dial(context.Background(), nil)
		if err == nil {
			s.Close()
		}
		return err == nil
	})
}

package cluster

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// subscribe adds a browser with notifications to an account.
func subscribe(t *testing.T, service *webpushtest.Service, c *client.Client) *webpushtest.Device {
	t.Helper()
	var key struct {
		Public string `json:"public_key"`
	}
	clustertest.NoError(t, c.Do(t.Context(), http.MethodGet, "/push", nil, &key))
	s, device := service.Subscribe()
	device.Restrict(key.Public)
	clustertest.NoError(t, c.Do(t.Context(), http.MethodPut, "/push/subscription", map[string]any{
		"endpoint": s.Endpoint, "keys": map[string]string{"p256dh": s.P256DH, "auth": s.Auth},
	}, nil))
	return device
}

// Who has no page open is notified, by way of the worker, the queue and the
// pusher; who has one is not.
func TestNotifications(t *testing.T) {
	s := clustertest.Shared(t)
	service := webpushtest.New(t)
	a, b := s.Register(t), s.Register(t)
	phone := subscribe(t, service, b)
	d, err := a.CreateDirect(t.Context(), b.Me().ID)
	clustertest.NoError(t, err)
	aki, ben := s.Connect(t, a), s.Connect(t, b)
	aki.SendMessage(d.ID, "while you are here")
	acceptance.Await(ben, "message", acceptance.IsBody("while you are here"))
	ben.Socket.Close()
	acceptance.Await(aki, "message", acceptance.IsBody("while you are here"))
	// Ben counts as present until the grace of a lost connection is over.
	eventually.True(t, "ben is away", func() bool {
		aki.SendMessage(d.ID, "come back")
		clustertest.AwaitBody(aki, "come back")
		return phone.PushCount() > 0
	})
	text := string(phone.Received()[0].Payload)
	if !strings.Contains(text, "come back") || strings.Contains(text, "while you are here") || !strings.Contains(text, d.ID.String()) {
		t.Errorf("notified: %s", text)
	}
	if refused := service.Refused(); len(refused) > 0 {
		t.Error(refused)
	}
}

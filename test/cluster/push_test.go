package cluster

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/talktest"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
)

// subscribe gives a person a browser that takes notifications.
func subscribe(t *testing.T, service *webpushtest.Service, c *client.Client) *webpushtest.Device {
	t.Helper()
	var key struct {
		Public string `json:"public_key"`
	}
	must(t, c.Do(t.Context(), http.MethodGet, "/push", nil, &key))
	s, device := service.Subscribe()
	device.Restrict(key.Public)
	must(t, c.Do(t.Context(), http.MethodPut, "/push/subscription", map[string]any{
		"endpoint": s.Endpoint, "keys": map[string]string{"p256dh": s.P256DH, "auth": s.Auth},
	}, nil))
	return device
}

// Who has no page open is notified, by way of the worker, the queue and the
// pusher; who has one is not.
func TestNotifications(t *testing.T) {
	s := cluster(t)
	service := webpushtest.New(t)
	a, b := s.register(t), s.register(t)
	phone := subscribe(t, service, b)
	d, err := a.CreateDirect(t.Context(), b.Me().ID)
	must(t, err)
	aki, ben := connectTo(t, s, a), connectTo(t, s, b)
	aki.Post(d.ID, "while you are here")
	talktest.Await(ben, "message", talktest.IsBody("while you are here"))
	ben.Socket.Close()
	talktest.Await(aki, "message", talktest.IsBody("while you are here"))
	// Ben counts as present until the grace of a lost connection is over.
	tr := traffic{t: t}
	tr.eventually("ben to be away", func() error {
		aki.Post(d.ID, "come back")
		awaitBody(aki, "come back")
		if phone.Pushes() == 0 {
			return errMore
		}
		return nil
	})
	text := string(phone.Received()[0].Payload)
	if !strings.Contains(text, "come back") || strings.Contains(text, "while you are here") || !strings.Contains(text, d.ID.String()) {
		t.Errorf("notified: %s", text)
	}
	if refused := service.Refused(); len(refused) > 0 {
		t.Error(refused)
	}
}

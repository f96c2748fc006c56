package syncclient

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
)

// A sync that the server refused is sent again when its pause is over, once.
func TestRefusedSyncIsSentAgain(t *testing.T) {
	accepted := make(chan net.Conn, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.HTTPUpgrader{Protocol: func(string) bool { return true }}.Upgrade(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		if err := wsutil.WriteServerText(conn, []byte(`{"t":"hello"}`)); err != nil {
			t.Error(err)
		}
		accepted <- conn
	}))
	defer web.Close()
	api, err := client.New(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{state: syncstate.New(syncstate.Options{})}
	if c.socket, err = api.Dial(t.Context(), func(client.Frame) {}); err != nil {
		t.Fatal(err)
	}
	server := <-accepted
	defer func() { _ = server.Close() }()
	defer c.socket.Close()
	c.sendSyncs(c.state.Connected(time.Now(), 1))
	first, err := wsutil.ReadClientText(server)
	if err != nil || !strings.Contains(string(first), `"id":"1"`) {
		t.Fatalf("%s, %v", first, err)
	}
	c.handleFrame(client.Frame{T: "error", Raw: []byte(`{"t":"error","id":"1","code":"overloaded"}`)})
	if len(c.delayed) != 1 {
		t.Fatalf("%d delayed requests", len(c.delayed))
	}
	due := c.delayed[0].due
	c.sendDelayed(due.Add(-time.Millisecond))
	if len(c.delayed) != 1 {
		t.Fatal("it was sent before its time")
	}
	c.sendDelayed(due)
	again, err := wsutil.ReadClientText(server)
	if err != nil || string(again) != string(first) || len(c.delayed) > 0 {
		t.Errorf("%s, not %s; %v; %d are left", again, first, err, len(c.delayed))
	}
}

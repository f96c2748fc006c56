package hikyaku

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target/targettest"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// openConn opens a connection to a server that is played by the test.
func openConn(t *testing.T) (c *conn, server net.Conn) {
	t.Helper()
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
	t.Cleanup(web.Close)
	api, err := client.New(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	c = &conn{site: &site{}, on: &seqListener{}}
	c.socket, err = client.Dialer{OnEnd: c.handleEnd}.Dial(t.Context(), api, func(client.Frame) {})
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() { _ = server.Close() })
	return c, server
}

// Syncs are sent in order, those from before the socket was known first, and
// those with a delay after it.
func TestSyncsAreSentInOrder(t *testing.T) {
	c, server := openConn(t)
	c.outgoing.sendAfter([]wire.Sync{{T: "sync", ID: "1"}, {T: "sync", ID: "2"}}, 0)
	c.outgoing.start(c.socket)
	c.outgoing.sendAfter([]wire.Sync{{T: "sync", ID: "4"}}, 50*time.Millisecond)
	c.outgoing.sendAfter([]wire.Sync{{T: "sync", ID: "3"}}, 0)
	for _, id := range []string{"1", "2", "3", "4"} {
		if text, err := wsutil.ReadClientText(server); err != nil || !strings.Contains(string(text), `"id":"`+id+`"`) {
			t.Fatalf("%s, %v; want the sync %s", text, err, id)
		}
	}
	c.Close()
}

// Close waits for the syncs that a server does not take, and for those that wait
// for their time.
func TestCloseWaitsForSyncs(t *testing.T) {
	c, server := openConn(t)
	c.outgoing.start(c.socket)
	c.outgoing.sendAfter([]wire.Sync{{T: "sync", Cursor: strings.Repeat("large", 10<<20)}}, 0)
	const delayed = 30
	for range delayed {
		c.outgoing.sendAfter([]wire.Sync{{T: "sync"}}, time.Hour)
	}
	if _, err := io.ReadFull(server, make([]byte, 1)); err != nil { // so it is being written
		t.Fatal(err)
	}
	eventually.True(t, "all are on their way", func() bool { return targettest.Running("hikyaku.(*frameSender)") == 1+delayed })
	c.Close()
	if n := targettest.Running("hikyaku.(*frameSender)"); n != 0 {
		t.Errorf("%d goroutines of the connection still run", n)
	}
}

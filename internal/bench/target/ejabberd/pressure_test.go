package ejabberd

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/frames"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

// answerListener records the answers to what a user sent.
type answerListener struct {
	numbers chan int
	ended   chan struct{}
	slow    time.Duration // how long it takes to learn of the end
}

func (a *answerListener) Answered(n int, _ target.Answer) { a.numbers <- n }

func (a *answerListener) Received(int, int64, []byte) {}

func (a *answerListener) Ended(error) {
	time.Sleep(a.slow)
	close(a.ended)
}

// openConn opens a connection of the first of a pair, without a reader, to a
// server that is played by the test.
func openConn(t *testing.T) (c *conn, on *answerListener, server net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.HTTPUpgrader{Protocol: func(string) bool { return true }}.Upgrade(r, w)
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}))
	t.Cleanup(web.Close)
	u, err := frames.Address(web.URL, "/")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := frames.Dial(t.Context(), u, "xmpp")
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() { _ = server.Close() })
	// Nothing takes as long unless something is wrong.
	if err := server.SetDeadline(time.Now().Add(eventually.Timeout)); err != nil {
		t.Fatal(err)
	}
	on = &answerListener{numbers: make(chan int, 10), ended: make(chan struct{})}
	c = &conn{session: &session{Conn: socket}, site: &site{plan: target.Plan{Rooms: [][]int{{0, 1}}}}, on: on, to: map[int]string{0: "p1@localhost"}}
	return c, on, server
}

// A server that takes nothing while it has something to say is listened to:
// whoever reads does not wait for who writes. The order stays.
func TestReadsUnderPressure(t *testing.T) {
	c, on, server := openConn(t)
	c.running.Go(c.read)
	// More than the system's buffers take.
	sent := make(chan error, 1)
	go func() {
		err := c.Send(0, 1, []byte("small"))
		if err == nil {
			err = c.Send(0, 2, bytes.Repeat([]byte("large"), 10<<20))
		}
		sent <- err
	}()
	serverExpects(t, server, `id="1"`)
	serverExpects(t, server, string(ackRequest))
	h, err := ws.ReadHeader(server) // so the large one is being written
	if err != nil {
		t.Fatal(err)
	}
	serverSends(t, server, `<iq xmlns="jabber:client" type="get" id="q"/>`)
	serverSends(t, server, `<r xmlns="`+nsSM+`"/>`)
	serverSends(t, server, `<a xmlns="`+nsSM+`" h="1"/>`)
	answered(t, on, 1)
	if _, err := io.CopyN(io.Discard, server, h.Length); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	// What was asked for meanwhile, in whatever order.
	var rest [3]string
	for i := range rest {
		rest[i] = serverReads(t, server)
	}
	for _, want := range []string{`id="q"`, `h="1"`, string(ackRequest)} {
		if !bytes.Contains([]byte(rest[0]+rest[1]+rest[2]), []byte(want)) {
			t.Errorf("%q has no %s", rest, want)
		}
	}
	serverSends(t, server, `<a xmlns="`+nsSM+`" h="3"/>`)
	answered(t, on, 2)
	c.Close()
	<-on.ended
}

func answered(t *testing.T, on *answerListener, n int) {
	t.Helper()
	select {
	case got := <-on.numbers:
		if got != n {
			t.Fatalf("%d was answered instead of %d", got, n)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%d was not answered while the server took nothing", n)
	}
}

func serverSends(t *testing.T, server net.Conn, text string) {
	t.Helper()
	if err := ws.WriteFrame(server, ws.NewTextFrame([]byte(text))); err != nil {
		t.Fatal(err)
	}
}

func serverReads(t *testing.T, server net.Conn) string {
	t.Helper()
	text, err := wsutil.ReadClientText(server)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func serverExpects(t *testing.T, server net.Conn, part string) {
	t.Helper()
	if got := serverReads(t, server); !bytes.Contains([]byte(got), []byte(part)) {
		t.Fatalf("%s has no %s", got, part)
	}
}

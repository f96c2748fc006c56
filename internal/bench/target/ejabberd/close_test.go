package ejabberd

import (
	"bytes"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target/targettest"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Close waits for the reader, whose listener takes its time, and for everything
// that writes to a server that takes nothing.
func TestCloseWaits(t *testing.T) {
	c, on, server := openConn(t)
	on.slow = 50 * time.Millisecond
	c.running.Go(c.read)
	c.running.Go(func() { _ = c.Send(0, 1, bytes.Repeat([]byte("large"), 10<<20)) })
	if _, err := ws.ReadHeader(server); err != nil { // so it is being written
		t.Fatal(err)
	}
	const asked = 30
	for range asked {
		serverSends(t, server, `<r xmlns="`+nsSM+`"/>`)
		serverSends(t, server, `<iq xmlns="jabber:client" type="get" id="q"/>`)
	}
	eventually.True(t, "the answers wait for the network", func() bool {
		return targettest.Running("ejabberd.(*conn)") == 1+1+2*asked
	})
	c.Close()
	if n := targettest.Running("ejabberd.(*conn)"); n != 0 {
		t.Errorf("%d goroutines of the connection still run", n)
	}
	<-on.ended
}

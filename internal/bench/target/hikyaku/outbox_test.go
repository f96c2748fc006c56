package hikyaku

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/gobwas/ws/wsutil"
)

func withdrawal(n int) any { return json.RawMessage(fmt.Sprintf(`{"withdraw":%d}`, n)) }

// readTexts reads what a client has sent.
func readTexts(t *testing.T, server net.Conn, n int) (all []string) {
	t.Helper()
	for range n {
		text, err := wsutil.ReadClientText(server)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// After a refusal nothing is sent until all that was sent has its answer. Then what
// was refused is withdrawn, and the rest follows in its order, no more of it than may
// be without an answer.
func TestRefusalHoldsBack(t *testing.T) {
	c, server := openConn(t)
	c.outgoing.start(c.socket)
	o := &c.outbox
	o.out, o.maxInFlight = &c.outgoing, 2
	send := func(n int) {
		if err := o.send(fmt.Appendf(nil, `{"send":%d}`, n), c.socket.SendRaw); err != nil {
			t.Error(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		if got := readTexts(t, server, len(want)); !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
	}
	for n := 1; n <= 3; n++ { // more than may be in flight: the load tool's people do not wait
		send(n)
	}
	expect(`{"send":1}`, `{"send":2}`, `{"send":3}`)
	o.answered()
	o.refusedForNow(withdrawal(2))
	for n := 4; n <= 7; n++ {
		send(n)
	}
	o.refusedForNow(withdrawal(3))
	expect(`{"withdraw":2}`, `{"withdraw":3}`, `{"send":4}`, `{"send":5}`)
	send(8)
	o.answered()
	o.answered()
	expect(`{"send":6}`, `{"send":7}`)
	o.refusedForNow(withdrawal(6))
	o.answered()
	expect(`{"withdraw":6}`, `{"send":8}`)
	o.answered()
	send(9)
	expect(`{"send":9}`)
	o.refusedForNow(withdrawal(9))
	expect(`{"withdraw":9}`)
	send(10)
	expect(`{"send":10}`)
}

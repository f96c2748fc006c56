package client_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
)

// A socket may come from another address of this machine, of which Linux has
// the whole of 127.0.0.0/8, and go to a gateway.
func TestGatewayAndSource(t *testing.T) {
	f := serve(t, time.Minute)
	c, err := client.New("http://127.0.0.1:1") // where nobody listens
	if err != nil {
		t.Fatal(err)
	}
	d := client.Dialer{Gateway: f.url, Source: netip.MustParseAddr("127.0.0.9")}
	s, err := d.Dial(t.Context(), c.WithToken("token"), func(client.Frame) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if from := (<-f.conns).from; !strings.HasPrefix(from, "127.0.0.9:") {
		t.Errorf("it came from %s", from)
	}
	d = client.Dialer{Gateway: "localhost"}
	if _, err := d.Dial(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("an address without a scheme: %v", err)
	}
}

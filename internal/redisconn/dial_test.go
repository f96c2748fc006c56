package redisconn

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

// A server that accepts connections and says nothing, as one that hangs or a balancer
// without a server behind it, is given up in the middle of the handshake of TLS.
func TestDialEndsInTheHandshake(t *testing.T) {
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	ended := make(chan error, 1)
	go func() {
		c, err := dial(context.Background(), listener.Addr().String(), &net.Dialer{Timeout: 200 * time.Millisecond}, &tls.Config{MinVersion: tls.VersionTLS12})
		if err == nil {
			_ = c.Close()
		}
		ended <- err
	}()
	if err := eventually.Receive(t, "the dial ends", ended); err == nil {
		t.Error("there is a connection")
	}
}

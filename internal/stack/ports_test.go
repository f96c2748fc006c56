package stack_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// A port that was given is reserved in a way that other processes see, though nobody
// listens on it yet.
func TestPortsAreReserved(t *testing.T) {
	port, err := stack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	var lc net.ListenConfig
	if reservation, err := lc.ListenPacket(t.Context(), "udp", address); err == nil {
		_ = reservation.Close()
		t.Error("another process would be given the port, too")
	}
	server, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
}

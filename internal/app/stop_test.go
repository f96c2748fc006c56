package app_test

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/app"
)

// The connection of a client that sends many requests and reads no response is
// closed when the process stops; everything else stops as usual.
func TestStopWithSlowReader(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	a, err := app.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// Write until the server stops reading, because its responses are not read.
	requests := bytes.Repeat([]byte("GET /api/openapi.json HTTP/1.1\r\nHost: here\r\n\r\n"), 1000)
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := conn.Write(requests); err != nil {
			break
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("the stop waited for the client")
	}
}

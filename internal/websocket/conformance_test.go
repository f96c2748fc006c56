package websocket

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe/wsframetest"
)

// The server, with an echo handler, passes the conformance suite.
func TestConformance(t *testing.T) {
	cases := wsframetest.Cases(wsframe.FromClient)
	forBothReaders(t, func(t *testing.T, cfg Config) {
		cfg.MaxMessage = 1 << 20
		cfg.MaxQueued = 16 << 20
		f := serve(t, cfg)
		for _, tt := range cases {
			t.Run(tt.ID, func(t *testing.T) {
				t.Log(tt.Want)
				p := dial(t, f, "/")
				e := <-f.handler
				<-f.conns
				// A peer that sends much must read at the same time.
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for _, b := range tt.Writes {
						if _, err := p.Write(b); err != nil {
							return // the server has closed the connection; its frames are read below
						}
					}
				}()
				for _, want := range tt.Answers {
					p.expect(ws.OpCode(want.Op), want.Payload)
				}
				p.expectClose(tt.Code)
				if tt.Fails {
					// The server waits until the client has read the reason.
					_ = p.Close()
				} else if _, err := p.br.ReadByte(); err == nil {
					t.Error("data was received behind the close frame")
				}
				<-sent
				var protocolErr *wsframe.Error
				if err := e.waitClosed(t); errors.As(err, &protocolErr) != tt.Fails {
					t.Errorf("Closed was called with %v", err)
				}
			})
		}
	})
}

// Sections 12 and 13: a client that offers compression gets a connection without
// it, and the connection is closed with 1002 when it compresses nevertheless.
func TestCompressionIsNotNegotiated(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		f := serve(t, cfg)
		for _, offer := range []string{
			"permessage-deflate", "permessage-deflate; client_no_context_takeover; client_max_window_bits",
			"permessage-deflate; server_max_window_bits=9, permessage-deflate", "x-webkit-deflate-frame", "no such; thing=\"?\"",
		} {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			p := &peer{t: t, Conn: conn, br: bufio.NewReader(conn)}
			p.write([]byte("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
				"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: test.v1\r\nSec-WebSocket-Extensions: " + offer + "\r\n\r\n"))
			resp, err := http.ReadResponse(p.br, nil)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || len(resp.Header.Values("Sec-Websocket-Extensions")) > 0 {
				t.Fatalf("%s: %+v, %v", offer, resp, err)
			}
			_ = resp.Body.Close()
			compressed := masked(true, ws.OpText, "\xf2\x48\xcd\xc9\xc9\x07\x00")
			compressed[0] |= 0x40
			p.write(masked(true, ws.OpText, "plain"), compressed)
			p.expect(ws.OpText, "plain")
			p.expectClose(wsframe.CodeProtocolError)
			_ = conn.Close()
			_, _ = io.Copy(io.Discard, p.br)
		}
	})
}

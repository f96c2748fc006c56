package client_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe/wsframetest"
)

// The client behaves as the suite wants. It does not echo: what it hands over
// is looked at in place of that. Its pongs may come in another order than the
// pings, because the reader does not wait for them to be written.
func TestConformance(t *testing.T) {
	cases := wsframetest.Cases(wsframe.FromServer)
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		conns := make(chan net.Conn, 1)
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, _, err := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == wire.Subprotocol }}.Upgrade(r, w)
			if err != nil {
				t.Error(err)
				return
			}
			hello := wire.Encode(wire.Hello{T: "hello", User: wire.User{ID: 1}, Session: 1})
			if _, err := conn.Write(wsframe.AppendFrame(nil, wsframe.Text, hello)); err != nil {
				t.Error(err)
			}
			conns <- conn
		}))
		defer web.Close()
		c, err := client.New(web.URL)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range cases {
			t.Run(tt.ID, func(t *testing.T) {
				t.Log(tt.Want)
				testConformance(t, d, c, conns, tt)
			})
		}
	})
}

func testConformance(t *testing.T, d client.Dialer, c *client.Client, conns <-chan net.Conn, tt wsframetest.Case) {
	var wantTexts, wantPongs []string
	for _, f := range tt.Answers {
		if f.Op == wsframe.Text {
			wantTexts = append(wantTexts, f.Payload)
		} else {
			wantPongs = append(wantPongs, f.Payload)
		}
	}
	texts := make(chan string, len(wantTexts)+1)
	s, err := d.Dial(t.Context(), c, func(f client.Frame) { texts <- string(f.Raw) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn := <-conns
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(timeout))

	// What the client answers.
	ponged := make(chan struct{}) // all pongs have come
	var pongs []string
	var code int
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		if len(wantPongs) == 0 {
			close(ponged)
		}
		var parser wsframe.Parser
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			err = parser.Feed(buf[:n], wsframe.FromClient, 1<<20, func(op wsframe.Opcode, p []byte) error {
				switch op {
				case wsframe.Pong:
					if pongs = append(pongs, string(p)); len(pongs) == len(wantPongs) {
						close(ponged)
					}
				case wsframe.Close:
					var err error
					code, _, err = wsframe.ParseClose(p)
					return err
				default:
					t.Errorf("the client sent a frame of kind %d", op)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}()

	for i, b := range tt.Writes {
		if i == len(tt.Writes)-1 && !tt.Fails {
			// A pong may be passed by the answer to a close frame.
			select {
			case <-ponged:
			case <-time.After(timeout):
				t.Fatalf("%d pongs are missing", len(wantPongs))
			}
		}
		if _, err := conn.Write(b); err != nil && !tt.Fails {
			t.Fatal(err)
		}
	}
	end := await(t, s)
	<-heard
	close(texts)
	var got []string
	for text := range texts {
		got = append(got, text)
	}
	slices.Sort(pongs)
	slices.Sort(wantPongs)
	if !slices.Equal(got, wantTexts) || !slices.Equal(pongs, wantPongs) {
		t.Errorf("%d texts and pongs %q came, want %d and %q", len(got), pongs, len(wantTexts), wantPongs)
	}
	if code != tt.Code {
		t.Errorf("the client closed with %d, want %d", code, tt.Code)
	}
	var broken *wsframe.Error
	var closed *client.CloseError
	if errors.As(end, &broken) != tt.Fails || errors.As(end, &closed) == tt.Fails {
		t.Errorf("it ended with %v", end)
	}
}

// A server must not speak an extension that the client did not offer.
func TestUnaskedExtension(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if offer := r.Header.Values("Sec-Websocket-Extensions"); len(offer) > 0 {
			t.Errorf("the client offers %q", offer)
		}
		conn, _, _, err := ws.HTTPUpgrader{
			Protocol: func(string) bool { return true },
			Header:   http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}},
		}.Upgrade(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}))
	defer web.Close()
	c, err := client.New(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Dial(t.Context(), nil); !errors.Is(err, ws.ErrHandshakeBadExtensions) {
		t.Errorf("%v", err)
	}
}

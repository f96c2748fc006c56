package frames_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target/frames"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial connects to a server of the test's own, which is given the other end.
func dial(t *testing.T, serve func(conn net.Conn)) *frames.Conn {
	t.Helper()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		serve(conn)
	}))
	t.Cleanup(server.Close)
	u, err := frames.Address(server.URL, "/ws")
	if err != nil {
		t.Fatal(err)
	}
	c, err := frames.Dial(t.Context(), u, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return c
}

func send(t *testing.T, conn net.Conn, all ...ws.Frame) {
	t.Helper()
	for _, f := range all {
		if err := ws.WriteFrame(conn, f); err != nil {
			t.Error(err)
		}
	}
}

func receive(t *testing.T, conn net.Conn) (ws.OpCode, string) {
	t.Helper()
	h, err := ws.ReadHeader(conn)
	if err != nil || !h.Masked || h.Length > 100 {
		t.Errorf("%+v, %v", h, err)
		return 0, ""
	}
	text := make([]byte, h.Length)
	if _, err := io.ReadFull(conn, text); err != nil {
		t.Error(err)
	}
	ws.Cipher(text, h.Mask, 0)
	return h.OpCode, string(text)
}

func TestBothWays(t *testing.T) {
	c := dial(t, func(conn net.Conn) {
		send(t, conn,
			ws.NewTextFrame([]byte("one")),
			ws.NewPingFrame([]byte("there?")),
			ws.NewFrame(ws.OpText, false, []byte("")),
			ws.NewFrame(ws.OpContinuation, false, []byte("tw")),
			ws.NewPongFrame(nil),
			ws.NewFrame(ws.OpContinuation, true, []byte("o")))
		for _, want := range []struct {
			op   ws.OpCode
			text string
		}{{ws.OpPong, "there?"}, {ws.OpText, "three"}, {ws.OpText, "four"}} {
			if op, text := receive(t, conn); op != want.op || text != want.text {
				t.Errorf("opcode %d with %q, want %+v", op, text, want)
			}
		}
		send(t, conn, ws.NewCloseFrame(ws.NewCloseFrameBody(1012, "back soon")))
	})
	for _, want := range []string{"one", "two"} {
		if text, err := c.Read(); err != nil || string(text) != want {
			t.Fatalf("%q, %v, want %q", text, err, want)
		}
	}
	if err := c.Write([]byte("three"), []byte("four")); err != nil {
		t.Fatal(err)
	}
	var closed *frames.CloseError
	if _, err := c.Read(); !errors.As(err, &closed) || closed.Code != 1012 || closed.Reason != "back soon" {
		t.Errorf("the end is %v", err)
	}
}

func TestProtocolViolations(t *testing.T) {
	for name, f := range map[string]ws.Frame{
		"binary":           ws.NewBinaryFrame([]byte("x")),
		"masked":           ws.MaskFrame(ws.NewTextFrame([]byte("x"))),
		"a part of none":   ws.NewFrame(ws.OpContinuation, true, []byte("x")),
		"a long ping":      ws.NewPingFrame(make([]byte, 126)),
		"a broken opening": ws.NewFrame(ws.OpText, false, []byte("x")),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, func(conn net.Conn) {
				send(t, conn, f)
				if name == "a broken opening" {
					send(t, conn, ws.NewTextFrame([]byte("x")))
				}
			})
			if text, err := c.Read(); err == nil {
				t.Errorf("%q was taken", text)
			}
		})
	}
	t.Run("too much", func(t *testing.T) {
		c := dial(t, func(conn net.Conn) {
			if err := ws.WriteHeader(conn, ws.Header{Fin: true, OpCode: ws.OpText, Length: 1 << 40}); err != nil {
				t.Error(err)
			}
		})
		if _, err := c.Read(); err == nil || !strings.Contains(err.Error(), "may have") {
			t.Errorf("a message of a terabyte: %v", err)
		}
	})
}

// A server that takes nothing does not keep Close, nor a Read that is bounded.
func TestSilentServer(t *testing.T) {
	leave := make(chan struct{})
	c := dial(t, func(net.Conn) { <-leave })
	defer close(leave)
	read := func() error {
		_, err := c.Read()
		return err
	}
	if err := c.Within(t.Context(), 10*time.Millisecond, read); err == nil {
		t.Error("something was read")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Within(ctx, time.Hour, read); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	// Also those that wait for the one that is blocked.
	var stuck sync.WaitGroup
	var written atomic.Int64
	for range 4 {
		stuck.Go(func() {
			for c.Write(make([]byte, 1<<20)) == nil {
				written.Add(1)
			}
		})
	}
	last, since := int64(-1), time.Now()
	eventually.True(t, "the buffers between are full", func() bool {
		if n := written.Load(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 100*time.Millisecond
	})
	began := time.Now()
	c.Close()
	stuck.Wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Close took %v", took)
	}
}

// A context that ends when what it bounds has succeeded ends no later read.
func TestContextEndsLate(t *testing.T) {
	const rounds = 500
	c := dial(t, func(conn net.Conn) {
		for range rounds {
			if t.Failed() {
				return
			}
			send(t, conn, ws.NewTextFrame([]byte("one")))
			receive(t, conn)
			send(t, conn, ws.NewTextFrame([]byte("two")))
			receive(t, conn)
		}
	})
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		if err := c.Within(ctx, time.Hour, func() error {
			defer cancel()
			_, err := c.Read()
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := c.Write([]byte("go on")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(); err != nil {
			t.Fatalf("the read after it: %v", err)
		}
		if err := c.Write([]byte("once more")); err != nil {
			t.Fatal(err)
		}
	}
}

// A lost connection gives the same error, whatever was on its way.
func TestConnectionLost(t *testing.T) {
	for name, last := range map[string]func(conn net.Conn){
		"in between": func(net.Conn) {},
		"in a message": func(conn net.Conn) {
			send(t, conn, ws.Frame{Header: ws.Header{Fin: true, OpCode: ws.OpText, Length: 10}})
		},
		"reset": func(conn net.Conn) {
			if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, last)
			if _, err := c.Read(); err == nil || err.Error() != "the server broke the connection off" {
				t.Errorf("the end is %v", err)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:1":       "ws://127.0.0.1:1/ws",
		"https://example.org/":     "wss://example.org/ws",
		"wss://example.org/socket": "wss://example.org/socket",
		"127.0.0.1:1":              "",
		"ftp://127.0.0.1":          "",
		"http://":                  "",
	} {
		u, err := frames.Address(address, "/ws")
		if want == "" && err == nil || want != "" && (err != nil || u.String() != want) {
			t.Errorf("%s: %v, %v", address, u, err)
		}
	}
}

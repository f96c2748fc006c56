package websocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testTimeout = 10 * time.Second

// echo is a handler that sends every message back.
type echo struct {
	mu     sync.Mutex
	got    []string
	closed chan error
	silent bool
	limit  int // of frames, 0 for none
	frames int // that arrived
}

func newEcho() *echo { return &echo{closed: make(chan error, 1)} }

func (e *echo) Frame(c *Conn, _ int) bool {
	if e.frames++; e.limit == 0 || e.frames <= e.limit {
		return true
	}
	c.Close(4002, "enough")
	return false
}

func (e *echo) Message(c *Conn, p []byte) {
	e.mu.Lock()
	e.got = append(e.got, string(p))
	e.mu.Unlock()
	if !e.silent {
		c.Send(NewFrame(p))
	}
}

func (e *echo) Closed(_ *Conn, reason error) { e.closed <- reason }

func (e *echo) waitClosed(t *testing.T) error {
	t.Helper()
	select {
	case err := <-e.closed:
		return err
	case <-time.After(testTimeout):
		t.Fatal("Closed was not called")
		return nil
	}
}

type fixture struct {
	server  *Server
	url     string
	handler chan *echo
	conns   chan *Conn
}

func serve(t testing.TB, cfg Config) *fixture {
	t.Helper()
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&cfg.MaxMessage, 1<<16)
	set(&cfg.MaxQueued, 1<<20)
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = testTimeout
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = time.Minute
	}
	cfg.Subprotocol = "test.v1"
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{server: s, handler: make(chan *echo, 10_000), conns: make(chan *Conn, 10_000)}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := newEcho()
		e.silent = r.URL.Path != "/"
		if r.URL.Path == "/limited" {
			e.limit = 100
		}
		c, err := s.Upgrade(w, r, e)
		var refused *UpgradeError
		if errors.As(err, &refused) {
			http.Error(w, refused.Text, refused.Status)
			return
		}
		if err == nil {
			f.handler <- e
			f.conns <- c
		}
	}))
	f.url = h.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		h.Close()
	})
	return f
}

type peer struct {
	t testing.TB
	net.Conn
	br *bufio.Reader
}

func dial(t testing.TB, f *fixture, path string) *peer {
	t.Helper()
	d := ws.Dialer{Protocols: []string{"test.v1"}, Timeout: testTimeout}
	conn, br, _, err := d.Dial(context.Background(), "ws"+strings.TrimPrefix(f.url, "http")+path)
	if err != nil {
		t.Fatal(err)
	}
	if br == nil {
		br = bufio.NewReader(conn)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &peer{t: t, Conn: conn, br: br}
}

func masked(fin bool, op ws.OpCode, payload string) []byte {
	f := ws.NewFrame(op, fin, []byte(payload))
	return ws.MustCompileFrame(ws.MaskFrameInPlace(f))
}

func (p *peer) write(b ...[]byte) {
	p.t.Helper()
	if _, err := p.Write(bytes.Join(b, nil)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) read() (ws.OpCode, string) {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(testTimeout))
	h, err := ws.ReadHeader(p.br)
	if err != nil || h.Length > 16<<20 {
		p.t.Fatalf("read a frame of %d bytes: %v", h.Length, err)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(p.br, payload); err != nil {
		p.t.Fatalf("read: %v", err)
	}
	return h.OpCode, string(payload)
}

func (p *peer) expect(op ws.OpCode, payload string) {
	p.t.Helper()
	if gotOp, got := p.read(); gotOp != op || got != payload {
		p.t.Fatalf("got %v %.80q, want %v %.80q", gotOp, got, op, payload)
	}
}

func (p *peer) expectClose(code int) {
	p.t.Helper()
	op, payload := p.read()
	if op != ws.OpClose || len(payload) < 2 || int(binary.BigEndian.Uint16([]byte(payload))) != code {
		p.t.Fatalf("got %v %q, want a close with %d", op, payload, code)
	}
}

// forBothReaders runs a test with event loops and with reader goroutines.
func forBothReaders(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Run("loops", func(t *testing.T) { test(t, Config{}) })
	t.Run("portable", func(t *testing.T) { test(t, Config{Portable: true}) })
}

func TestEcho(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		p := dial(t, serve(t, cfg), "/")
		for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
			text := strings.Repeat("é", n/2) + strings.Repeat("x", n%2)
			p.write(masked(true, ws.OpText, text))
			p.expect(ws.OpText, text)
		}
	})
}

func TestPiecesAndControlFrames(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		f := serve(t, cfg)
		p := dial(t, f, "/")
		p.write(masked(false, ws.OpText, "hel"), masked(true, ws.OpPing, "now"), masked(false, ws.OpContinuation, ""), masked(true, ws.OpContinuation, "lo"))
		p.expect(ws.OpPong, "now")
		p.expect(ws.OpText, "hello")
		// A character may be cut by a fragment.
		p.write(masked(false, ws.OpText, "\xe9"), masked(true, ws.OpContinuation, "\xa3\x9b"))
		p.expect(ws.OpText, "飛")
		for _, b := range masked(true, ws.OpText, "one byte at a time") {
			p.write([]byte{b})
		}
		p.expect(ws.OpText, "one byte at a time")
		p.write(masked(true, ws.OpPong, "unasked"), masked(true, ws.OpText, "x"))
		p.expect(ws.OpText, "x")
	})
}

// These cases are not in the conformance suite: masks, and the server's limit.
func TestViolations(t *testing.T) {
	unmasked := ws.MustCompileFrame(ws.NewTextFrame([]byte("x")))
	huge := []byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	tests := []struct {
		name string
		sent []byte
		code int
	}{
		{"unmasked", unmasked, 1002},
		{"too large", masked(true, ws.OpText, strings.Repeat("x", 1<<16+1)), 1009},
		{"too large, in pieces", append(masked(false, ws.OpText, strings.Repeat("x", 1<<15)), masked(true, ws.OpContinuation, strings.Repeat("x", 1<<15+1))...), 1009},
		{"a length of 2^63", huge, 1009},
	}
	forBothReaders(t, func(t *testing.T, cfg Config) {
		f := serve(t, cfg)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := dial(t, f, "/")
				e := <-f.handler
				p.write(tt.sent)
				p.expectClose(tt.code)
				_ = p.Close()
				var v *wsframe.Error
				if err := e.waitClosed(t); !errors.As(err, &v) {
					t.Errorf("Closed was called with %v", err)
				}
			})
		}
	})
}

func TestClosing(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		f := serve(t, cfg)
		t.Run("by the client", func(t *testing.T) {
			p := dial(t, f, "/")
			e := <-f.handler
			<-f.conns
			p.write(masked(true, ws.OpText, "last"), masked(true, ws.OpClose, "\x03\xe8bye"))
			p.expect(ws.OpText, "last")
			p.expectClose(1000)
			if _, err := p.br.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the server leaves the connection open: %v", err)
			}
			if err := e.waitClosed(t); !errors.Is(err, errPeerClosed) {
				t.Errorf("Closed was called with %v", err)
			}
		})
		t.Run("by the server, behind what it sent", func(t *testing.T) {
			p := dial(t, f, "/")
			e, c := <-f.handler, <-f.conns
			for i := range 100 {
				c.Send(NewFrame([]byte(fmt.Sprint(i))))
			}
			c.Close(4100, "ended")
			if c.Send(NewFrame([]byte("late"))) {
				t.Error("something was sent behind the close frame")
			}
			for i := range 100 {
				p.expect(ws.OpText, fmt.Sprint(i))
			}
			p.expectClose(4100)
			p.write(masked(true, ws.OpClose, "\x10\x04"))
			_ = e.waitClosed(t)
		})
		t.Run("by the server, and the client does not answer", func(t *testing.T) {
			dial(t, f, "/")
			e, c := <-f.handler, <-f.conns
			c.Close(4100, "ended")
			_ = e.waitClosed(t)
		})
		t.Run("without a close frame", func(t *testing.T) {
			p := dial(t, f, "/")
			e := <-f.handler
			<-f.conns
			_ = p.Close()
			_ = e.waitClosed(t)
		})
	})
}

func TestManySendersKeepTheirOrder(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		const senders, each = 8, 500
		f := serve(t, cfg)
		p := dial(t, f, "/")
		c := <-f.conns
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for n := range each {
					if !c.Send(NewFrame([]byte(fmt.Sprintf("%d %d", s, n)))) {
						t.Error("not sent")
					}
				}
			})
		}
		next := map[int]int{}
		for range senders * each {
			_, text := p.read()
			var s, n int
			if _, err := fmt.Sscan(text, &s, &n); err != nil || n != next[s] {
				t.Fatalf("%q where %d of %d was due", text, next[s], s)
			}
			next[s]++
		}
		wg.Wait()
	})
}

func TestSlowReaderIsCutOff(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		cfg.MaxQueued = 1 << 20
		f := serve(t, cfg)
		slow := dial(t, f, "/")
		e, c := <-f.handler, <-f.conns // before the other connection is made
		other := dial(t, f, "/")
		frame := NewFrame(bytes.Repeat([]byte("x"), 1000))
		sent := 0
		for c.Send(frame) {
			sent++
			if c.Queued() > cfg.MaxQueued {
				t.Fatalf("%d bytes are queued", c.Queued())
			}
			if sent > 100_000 {
				t.Fatal("the connection was not ended")
			}
		}
		if err := e.waitClosed(t); !errors.Is(err, errSlow) {
			t.Errorf("Closed was called with %v", err)
		}
		_ = slow.Close()
		other.write(masked(true, ws.OpText, "still here"))
		other.expect(ws.OpText, "still here")
	})
}

func TestLaggingReaderGetsEverything(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		cfg.MaxQueued = 64 << 20
		f := serve(t, cfg)
		p := dial(t, f, "/")
		c := <-f.conns
		const n = 20_000
		for i := range n {
			if !c.Send(NewFrame([]byte(fmt.Sprintf("%d %0500d", i, 0)))) {
				t.Fatalf("frame %d was not queued", i)
			}
		}
		for i := range n {
			if _, text := p.read(); !strings.HasPrefix(text, fmt.Sprintf("%d ", i)) {
				t.Fatalf("%.20q where %d was due", text, i)
			}
		}
	})
}

func TestSilentClientIsCutOff(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		cfg.IdleTimeout = 200 * time.Millisecond
		f := serve(t, cfg)
		dial(t, f, "/")
		if err := (<-f.handler).waitClosed(t); !errors.Is(err, errIdle) {
			t.Errorf("Closed was called with %v", err)
		}
	})
}

func TestUpgradeIsRefused(t *testing.T) {
	f := serve(t, Config{})
	good := http.Header{
		"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-Websocket-Protocol": {"other, test.v1"},
	}
	for name, tt := range map[string]struct {
		change func(h http.Header)
		status int
	}{
		"no upgrade":  {func(h http.Header) { h.Del("Upgrade") }, 426},
		"version":     {func(h http.Header) { h.Set("Sec-Websocket-Version", "8") }, 426},
		"key":         {func(h http.Header) { h.Set("Sec-Websocket-Key", "AAAA") }, 400},
		"subprotocol": {func(h http.Header) { h.Set("Sec-Websocket-Protocol", "other") }, 400},
	} {
		h := good.Clone()
		tt.change(h)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url, nil)
		req.Header = h
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tt.status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestBytesBehindTheUpgradeAreRead(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		f := serve(t, cfg)
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		request := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: test.v1\r\n\r\n"
		early := append(masked(true, ws.OpText, "early"), masked(true, ws.OpText, "half")[:5]...)
		if _, err := conn.Write(append([]byte(request), early...)); err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(conn)
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", resp, err)
		}
		_ = resp.Body.Close()
		p := &peer{t: t, Conn: conn, br: br}
		p.expect(ws.OpText, "early")
	})
}

func TestManyConnectionsComeAndGo(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		f := serve(t, cfg)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 25 {
					p := dial(t, f, "/")
					p.write(masked(true, ws.OpText, "hi"))
					p.expect(ws.OpText, "hi")
					_ = p.Close()
				}
			})
		}
		wg.Wait()
		for range 500 {
			_ = (<-f.handler).waitClosed(t)
		}
	})
}

func FuzzUpgrade(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: test.v1\r\n\r\n")
	f.Fuzz(func(t *testing.T, request string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
		if err != nil {
			return
		}
		key, err := checkUpgrade(r, "test.v1")
		var refused *UpgradeError
		if (err == nil) == (key == "") || (err != nil && (!errors.As(err, &refused) || refused.Status < 400)) {
			t.Fatalf("%q, %v", key, err)
		}
	})
}

func BenchmarkEcho(b *testing.B) {
	f := serve(b, Config{})
	p := dial(b, f, "/")
	frame := masked(true, ws.OpText, strings.Repeat("x", 200))
	b.ReportAllocs()
	for b.Loop() {
		p.write(frame)
		p.read()
	}
}

func BenchmarkBroadcast(b *testing.B) {
	const conns = 500
	f := serve(b, Config{})
	var all []*Conn
	for range conns {
		p := dial(b, f, "/silent")
		go func() { _, _ = io.Copy(io.Discard, p.br) }()
		all = append(all, <-f.conns)
	}
	frame := NewFrame(bytes.Repeat([]byte("x"), 300))
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range all {
			for c.Queued() > 512<<10 {
				time.Sleep(time.Millisecond)
			}
			c.Send(frame)
		}
	}
	b.ReportMetric(float64(b.N)*conns/b.Elapsed().Seconds(), "frames/s")
}

// The connection of a client that was slow once and has caught up is not ended by
// the next write, however late that is.
func TestWriteDeadlineIsCleared(t *testing.T) {
	f := serve(t, Config{MaxQueued: 64 << 20, WriteTimeout: 300 * time.Millisecond})
	p := dial(t, f, "/silent")
	<-f.handler
	c := <-f.conns
	const size = 16 << 20
	c.Send(make(Frame, size)) // more than the kernel buffers
	if _, err := io.CopyN(io.Discard, p.br, size); err != nil {
		t.Fatal(err)
	}
	for c.Queued() > 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(400 * time.Millisecond)
	c.Send(NewFrame([]byte("late")))
	if op, text := p.read(); op != ws.OpText || text != "late" {
		t.Errorf("got %v %q", op, text)
	}
}

// A frame larger than the bound reaches a client who reads, with what is sent
// before and behind it.
func TestLargeFrameIsDelivered(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		cfg.MaxQueued = 64 << 10
		f := serve(t, cfg)
		p := dial(t, f, "/")
		c := <-f.conns
		large := strings.Repeat("x", 8<<20) // more than the kernel takes
		small := strings.Repeat("y", 1000)
		for range 3 {
			for _, text := range []string{small, large, small, small} {
				if !c.Send(NewFrame([]byte(text))) {
					t.Fatalf("a frame of %d bytes was not queued behind %d bytes", len(text), c.Queued())
				}
			}
			for _, want := range []string{small, large, small, small} {
				if _, text := p.read(); text != want {
					t.Fatalf("a frame of %d bytes arrived where %d were sent", len(text), len(want))
				}
			}
			if err := c.AwaitQueued(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What gathers besides one large frame is bounded, and so are large frames.
func TestLargeFrameDoesNotLiftTheBound(t *testing.T) {
	for name, size := range map[string]int{"small frames": 1000, "another large frame": 8 << 20} {
		t.Run(name, func(t *testing.T) {
			const large, bound = 8 << 20, 64 << 10
			f := serve(t, Config{MaxQueued: bound})
			dial(t, f, "/") // and it reads nothing
			e, c := <-f.handler, <-f.conns
			frame := NewFrame(make([]byte, size))
			if !c.Send(NewFrame(make([]byte, large))) {
				t.Fatal("the large frame was not queued")
			}
			for sent := 0; c.Send(frame); sent += len(frame) {
				if n := c.Queued(); n > large+bound+2*16 || sent > large+bound {
					t.Fatalf("%d bytes are queued", n)
				}
			}
			if err := e.waitClosed(t); !errors.Is(err, errSlow) {
				t.Errorf("Closed was called with %v", err)
			}
		})
	}
}

func TestAwaitQueued(t *testing.T) {
	f := serve(t, Config{MaxQueued: 64 << 20})
	p := dial(t, f, "/")
	e, c := <-f.handler, <-f.conns
	if err := c.AwaitQueued(t.Context(), 0); err != nil {
		t.Fatalf("nothing is queued: %v", err)
	}
	const frames, size = 16, 1 << 20
	for range frames {
		c.Send(NewFrame(make([]byte, size)))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.AwaitQueued(ended, size); !errors.Is(err, context.Canceled) {
		t.Fatalf("nothing was read, and yet: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- c.AwaitQueued(t.Context(), size) }()
	for range frames {
		p.read()
	}
	if err := <-waited; err != nil || c.Queued() > size {
		t.Errorf("%v with %d bytes queued", err, c.Queued())
	}
	for range frames {
		c.Send(NewFrame(make([]byte, size)))
	}
	go func() { waited <- c.AwaitQueued(t.Context(), 0) }()
	_ = p.Close()
	if err := <-waited; err == nil {
		t.Error("the connection has ended, and nobody is told")
	}
	_ = e.waitClosed(t)
}

// What comes in one piece is one read, whatever is in it, and what gathers while a
// frame is being written goes with one write. Each frame counts once.
func TestBatchesAreCounted(t *testing.T) {
	for _, portable := range []bool{false, true} {
		f := serve(t, Config{Portable: portable})
		p := dial(t, f, "/silent")
		c := <-f.conns
		const frames = 50
		var piece []byte
		for range frames {
			piece = append(piece, masked(true, ws.OpText, "x")...)
		}
		p.write(piece)
		eventually.True(t, "all frames are read", func() bool { _, items := f.server.Reads(); return items == frames })
		if reads, _ := f.server.Reads(); reads < 1 || reads > frames/2 { // TCP may cut the piece
			t.Errorf("portable %v: %d reads of %d frames", portable, reads, frames)
		}
		for range frames {
			c.Send(NewFrame([]byte("y")))
		}
		for range frames {
			p.expect(ws.OpText, "y")
		}
		eventually.True(t, "all frames are written", func() bool { _, items := f.server.Writes(); return items == frames })
		if writes, _ := f.server.Writes(); writes < 1 || writes > frames {
			t.Errorf("portable %v: %d writes of %d frames", portable, writes, frames)
		}
	}
}

package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventloop"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// timeout bounds every wait; it is never waited for in full unless something
// is wrong.
const timeout = 20 * time.Second

// fixture is a server whose sockets the test speaks for.
type fixture struct {
	url   string
	conns chan *peer
	idle  time.Duration // that hello names
}

// peer is the server's end of a socket.
type peer struct {
	*websocket.Conn
	from     string // address of the client
	mu       sync.Mutex
	received []string
	closed   chan struct{}
}

func (p *peer) Frame(*websocket.Conn, int) bool { return true }

func (p *peer) Message(_ *websocket.Conn, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received = append(p.received, string(b))
}

func (p *peer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.received)
}

func (p *peer) Closed(*websocket.Conn, error) { close(p.closed) }

func (p *peer) send(format string, args ...any) {
	p.Send(websocket.NewFrame(fmt.Appendf(nil, format, args...)))
}

// serve starts a server that asks for a heartbeat and says some frames right
// behind hello.
func serve(t *testing.T, heartbeat time.Duration, behindHello ...string) *fixture {
	t.Helper()
	sockets, err := websocket.NewServer(websocket.Config{
		MaxMessage: 1 << 20, MaxQueued: 64 << 20, WriteTimeout: timeout, IdleTimeout: time.Minute, Subprotocol: wire.Subprotocol,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{conns: make(chan *peer, 100)}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &peer{from: r.RemoteAddr, closed: make(chan struct{})}
		c, err := sockets.Upgrade(w, r, p)
		if err != nil {
			t.Error(err)
			return
		}
		p.Conn = c
		hello := websocket.NewFrame(wire.Encode(wire.Hello{T: "hello", User: wire.User{ID: 1}, Session: 1, Limits: wire.Limits{HeartbeatMS: heartbeat.Milliseconds(), IdleMS: f.idle.Milliseconds()}}))
		for _, text := range behindHello {
			hello = append(hello, websocket.NewFrame([]byte(text))...)
		}
		c.Send(hello)
		f.conns <- p
	}))
	f.url = web.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = sockets.Close(ctx)
		web.Close()
	})
	return f
}

// receivedFrames records what a socket delivers.
type receivedFrames struct {
	mu     sync.Mutex
	frames []string
	added  chan struct{}
	ended  []error
}

func (h *receivedFrames) add(f client.Frame) {
	h.mu.Lock()
	h.frames = append(h.frames, string(f.Raw))
	h.mu.Unlock()
	h.added <- struct{}{}
}

func (h *receivedFrames) wait(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(timeout)
	for {
		h.mu.Lock()
		frames := slices.Clone(h.frames)
		h.mu.Unlock()
		if len(frames) >= n {
			return frames
		}
		select {
		case <-h.added:
		case <-deadline:
			t.Fatalf("%d frames came, not %d", len(frames), n)
		}
	}
}

func (f *fixture) dial(t *testing.T, d client.Dialer) (*client.Socket, *peer, *receivedFrames) {
	t.Helper()
	c, err := client.New(f.url)
	if err != nil {
		t.Fatal(err)
	}
	h := &receivedFrames{added: make(chan struct{}, 1000)}
	d.OnEnd = func(err error) { h.ended = append(h.ended, err) }
	s, err := d.Dial(t.Context(), c.WithToken("token"), h.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, <-f.conns, h
}

func await(t *testing.T, s *client.Socket) error {
	t.Helper()
	select {
	case <-s.Done():
		return s.Err()
	case <-time.After(timeout):
		t.Fatal("the connection lives")
		return nil
	}
}

// withAndWithoutLoop runs a test on a goroutine of the socket's own and on a loop.
func withAndWithoutLoop(t *testing.T, test func(t *testing.T, d client.Dialer)) {
	t.Run("goroutine", func(t *testing.T) { test(t, client.Dialer{}) })
	t.Run("loop", func(t *testing.T) { test(t, client.Dialer{Loop: new(eventloop.Loop)}) })
}

// Frames of all sizes come whole and in order, those right behind hello too.
func TestFrames(t *testing.T) {
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		f := serve(t, time.Minute, `{"t":"first"}`, `{"t":"second"}`)
		s, p, h := f.dial(t, d)
		want := []string{`{"t":"first"}`, `{"t":"second"}`}
		for _, size := range []int{0, 90, 100, 110, 4000, 5000, 65_500, 65_600, 3 << 20, 1} {
			want = append(want, fmt.Sprintf(`{"t":"sized","x":%q}`, strings.Repeat("x", size)))
			p.send("%s", want[len(want)-1])
		}
		if got := h.wait(t, len(want)); !slices.Equal(got, want) {
			t.Errorf("%d frames came, not as they were sent", len(got))
		}
		if s.Hello.User.ID != 1 {
			t.Errorf("%+v", s.Hello)
		}
	})
}

// A handler that blocks on a goroutine of its own keeps no other socket from
// being opened and heard.
func TestOwnGoroutineMayBlock(t *testing.T) {
	f := serve(t, time.Minute, `{"t":"first"}`)
	c, err := client.New(f.url)
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s, err := c.WithToken("token").Dial(t.Context(), func(client.Frame) { <-ready })
	if err != nil {
		t.Fatal(err)
	}
	_, _, h := f.dial(t, client.Dialer{})
	h.wait(t, 1)
	close(ready)
	s.Close()
}

func TestClose(t *testing.T) {
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		f := serve(t, time.Minute)
		s, p, h := f.dial(t, d)
		stop := make(chan struct{})
		var saying sync.WaitGroup
		saying.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-p.closed:
					return
				default:
					if p.Queued() < 1<<16 {
						p.send(`{"t":"many","n":%d}`, n)
					}
				}
			}
		})
		h.wait(t, 100) // in the middle of it
		go func() {
			for range h.added {
			}
		}()
		s.Close()
		h.mu.Lock()
		after := len(h.frames)
		h.mu.Unlock()
		close(stop)
		saying.Wait()
		<-p.closed
		if len(h.frames) != after || len(h.ended) != 1 || !errors.Is(h.ended[0], net.ErrClosed) || !errors.Is(s.Err(), net.ErrClosed) {
			t.Errorf("%d frames after Close, ended %v", len(h.frames)-after, h.ended)
		}
		if err := s.Send(wire.Ping{T: "ping"}); err == nil {
			t.Error("a closed socket takes a frame")
		}
		s.Close() // again
		close(h.added)
	})
}

func TestServerCloses(t *testing.T) {
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		s, p, h := serve(t, time.Minute).dial(t, d)
		p.send(`{"t":"last"}`)
		p.Close(wire.CloseRevoked, "enough")
		var c *client.CloseError
		if err := await(t, s); !errors.As(err, &c) || c.Code != wire.CloseRevoked || c.Reason != "enough" {
			t.Errorf("ended with %v", err)
		}
		if len(h.frames) != 1 || len(h.ended) != 1 || h.ended[0] != s.Err() {
			t.Errorf("%v, %v", h.frames, h.ended)
		}
	})
}

func TestGoodbye(t *testing.T) {
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		s, p, _ := serve(t, time.Minute).dial(t, d)
		p.send(`{"t":"goodbye","reconnect_after_ms":1}`)
		if err := await(t, s); err != client.ErrGoodbye {
			t.Errorf("ended with %v", err)
		}
		<-p.closed
	})
}

// Heartbeats are sent, and a server that does not answer two of them is given
// up. One that says anything is not.
func TestHeartbeat(t *testing.T) {
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		s, p, _ := serve(t, 20*time.Millisecond).dial(t, d)
		if err := await(t, s); err == nil || !strings.Contains(err.Error(), "heartbeat") {
			t.Errorf("ended with %v", err)
		}
		<-p.closed
		p.mu.Lock()
		defer p.mu.Unlock()
		// A heartbeat is left out while the one before is still being sent.
		if n := len(p.received); n < 1 || n > 2 || p.received[0] != `{"t":"ping"}` || p.received[n-1] != `{"t":"ping"}` {
			t.Errorf("the server heard %q", p.received)
		}
	})
}

// One who is patient waits as long as the server waits for a client.
func TestPatient(t *testing.T) {
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		const idle = 300 * time.Millisecond
		f := serve(t, 20*time.Millisecond)
		f.idle, d.TolerateSilence = idle, true
		began := time.Now()
		s, _, _ := f.dial(t, d)
		if err := await(t, s); err == nil || !strings.Contains(err.Error(), "heartbeat") {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(began); took < idle {
			t.Errorf("given up after %v", took)
		}
	})
}

// A server that has answered is not given up because this process has not read
// the answer yet.
func TestUnreadAnswers(t *testing.T) {
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		f := serve(t, 100*time.Millisecond)
		c, err := client.New(f.url)
		if err != nil {
			t.Fatal(err)
		}
		free, last := make(chan struct{}), make(chan struct{})
		s, err := d.Dial(t.Context(), c.WithToken("token"), func(f client.Frame) {
			switch f.T {
			case "work":
				<-free
			case "last":
				close(last)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		p := <-f.conns
		// All with one write, and more than is read at once: what is behind the
		// first part waits from then on.
		p.Send(append(websocket.NewFrame([]byte(`{"t":"work"}`)), bytes.Repeat(websocket.NewFrame([]byte(`{"t":"pong"}`)), 20_000)...))
		for deadline := time.Now().Add(timeout); p.count() < 5; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no more heartbeats come")
			}
		}
		p.send(`{"t":"last"}`)
		close(free)
		select {
		case <-last:
		case <-s.Done():
			t.Errorf("ended with %v", s.Err())
		case <-time.After(timeout):
			t.Error("what was sent does not come")
		}
	})
}

// A server that accepts and sends nothing blocks nobody for longer than
// it is given up.
func TestStuckServer(t *testing.T) {
	withAndWithoutLoop(t, func(t *testing.T, d client.Dialer) {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		f := serve(t, 100*time.Millisecond)
		d.Gateway = "http://" + listener.Addr().String()
		go relayUntilHello(t, listener, strings.TrimPrefix(f.url, "http://"))
		s, _, _ := f.dial(t, d)
		big := []byte(`{"t":"big","x":"` + strings.Repeat("x", 1<<20) + `"}`)
		for range 100 {
			if err = s.SendRaw(big); err != nil {
				break
			}
		}
		if err == nil {
			t.Error("100 MiB were taken by nobody")
		}
		if err := await(t, s); err == nil || !strings.Contains(err.Error(), "heartbeat") {
			t.Errorf("ended with %v", err)
		}
	})
}

// relayUntilHello passes on a request and what is answered first, and then
// nothing: the connection hangs.
func relayUntilHello(t *testing.T, l net.Listener, server string) {
	near, err := l.Accept()
	if err != nil {
		return
	}
	t.Cleanup(func() { _ = near.Close() })
	far, err := new(net.Dialer).DialContext(t.Context(), "tcp", server)
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _ = far.Close() })
	buf := make([]byte, 64<<10)
	n, _ := near.Read(buf)
	_, _ = far.Write(buf[:n])
	for hello := false; !hello; {
		n, err := far.Read(buf)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = near.Write(buf[:n])
		hello = strings.Contains(string(buf[:n]), "hello")
	}
}

func TestDialErrors(t *testing.T) {
	f := serve(t, time.Minute)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	for gateway, part := range map[string]string{web.URL: "404", "http://127.0.0.1:1": "refused"} {
		c, err := client.New(f.url)
		if err != nil {
			t.Fatal(err)
		}
		d := client.Dialer{Gateway: gateway}
		if _, err := d.Dial(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", gateway, err)
		}
	}
}

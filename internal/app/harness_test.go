package app_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// patience bounds every wait of the tests; it is never waited for in full
// unless something is wrong.
const patience = 20 * time.Second

// testConfig is a whole system on a free port, with its data in a folder of
// the test's own and password hashing made cheap.
func testConfig(t testing.TB) app.Config {
	return app.Config{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Registration: "open", Drain: 10 * time.Second,
		Hash: app.HashConfig{MemoryKiB: 64, AtOnce: 8}, Version: "test",
		Logger:  slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Gateway: gateway.Config{PerSecond: 1e6, Burst: 1e6, InFlight: 1000, Heartbeat: 300 * time.Millisecond, Idle: patience, AwayGrace: 50 * time.Millisecond},
	}
}

// testWriter sends the log to the test's, as long as the test runs.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // the test has ended
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func start(t testing.TB, cfg app.Config) *app.App {
	t.Helper()
	a, err := app.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, a) })
	return a
}

func stop(t testing.TB, a *app.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

const testPassword = "correct horse battery"

func register(t testing.TB, url, name string) *client.Client {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), name, testPassword); err != nil {
		t.Fatalf("register %s: %v", name, err)
	}
	return c
}

// person is a registered account with one socket whose frames are kept.
type person struct {
	*client.Client
	t      testing.TB
	socket *client.Socket

	mu     sync.Mutex
	frames []kept
	poke   chan struct{}
}

type kept struct {
	T   string
	Raw json.RawMessage
}

func connect(t testing.TB, c *client.Client) *person {
	t.Helper()
	p := &person{Client: c, t: t, poke: make(chan struct{}, 1)}
	s, err := c.Dial(t.Context(), func(f client.Frame) {
		p.mu.Lock()
		p.frames = append(p.frames, kept{T: f.T, Raw: json.RawMessage(strings.Clone(string(f.Raw)))})
		p.mu.Unlock()
		select {
		case p.poke <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.socket = s
	t.Cleanup(s.Close)
	return p
}

func join(t testing.TB, url, name string) *person {
	t.Helper()
	return connect(t, register(t, url, name))
}

func (p *person) say(frame any) {
	p.t.Helper()
	if err := p.socket.Send(frame); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// send sends a message under a fresh id and gives the id.
func (p *person) send(id chat.ConversationID, body string) chat.ClientID {
	p.t.Helper()
	clientID := client.NewClientID()
	p.say(wire.Send{T: "send", ID: clientID, Conversation: id, Body: body})
	return clientID
}

// await waits for a frame of type t that ok likes, and decodes it into a T.
// Frames that were awaited before are not looked at again.
func await[T any](p *person, t string, ok func(T) bool) T {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		for i, f := range p.frames {
			if f.T != t {
				continue
			}
			var v T
			if err := json.Unmarshal(f.Raw, &v); err != nil {
				p.t.Fatalf("%s: %v", f.Raw, err)
			}
			if ok == nil || ok(v) {
				p.frames = append(p.frames[:i:i], p.frames[i+1:]...)
				p.mu.Unlock()
				return v
			}
		}
		p.mu.Unlock()
		select {
		case <-p.poke:
		case <-p.socket.Done():
			p.t.Fatalf("%s waits for %s, and the connection ended: %v", p.Me().Name, t, p.socket.Err())
		case <-deadline:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("%s waits for %s in vain; got %s", p.Me().Name, t, types(p.frames))
		}
	}
}

func types(frames []kept) string {
	var all []string
	for _, f := range frames {
		all = append(all, string(f.Raw))
	}
	return strings.Join(all, "\n")
}

// none tells that no frame of type t that ok likes has come by the time that a
// ping sent now is answered.
func none[T any](p *person, t string, ok func(T) bool) {
	p.t.Helper()
	p.say(wire.Ping{T: "ping"})
	await[wire.Pong](p, "pong", nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		var v T
		if f.T == t && json.Unmarshal(f.Raw, &v) == nil && (ok == nil || ok(v)) {
			p.t.Errorf("%s must not get %s", p.Me().Name, f.Raw)
		}
	}
}

func isBody(body string) func(wire.MessageFrame) bool {
	return func(f wire.MessageFrame) bool { return f.Body == body }
}

func isID(id chat.ClientID) func(wire.Accepted) bool {
	return func(f wire.Accepted) bool { return f.ID == id }
}

func isRejected(id chat.ClientID) func(wire.Rejected) bool {
	return func(f wire.Rejected) bool { return f.ID == id }
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/localpubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// BenchmarkIdleConnection is what an open, idle, authenticated connection costs a
// gateway in memory: each is of a user of its own, was opened over HTTP, and has
// sent a first ping. The clients are bare descriptors, 8 bytes of this process
// each, so what is measured is the server's side. Run it with -benchtime 1x.
//
//   - heap-B: objects of the heap that are alive.
//   - spans-B: what the heap's live pages hold beside them.
//   - runtime-B: stacks and the runtime's own structures.
//   - rss-B: the process's resident memory, once all that is free was returned.
//   - loose-rss-B: the same before that, with the garbage that Go lets gather.
//
// With IDLE_PROFILE=FILE it writes a heap profile, to be read with
// go tool pprof -sample_index=inuse_space -top FILE; the profile is exact with
// -memprofilerate 1.
func BenchmarkIdleConnection(b *testing.B) {
	const connections = 5000
	for b.Loop() {
		g, addr := startIdleGateway(b)
		before := memoryOf(b)
		clients := make([]int, connections)
		for i := range clients {
			clients[i] = dialIdle(b, addr, i+1)
		}
		if n := g.Connections(); n != connections {
			b.Fatalf("%d connections are open of %d", n, connections)
		}
		loose := residentMemory(b)
		after := memoryOf(b)
		if file := os.Getenv("IDLE_PROFILE"); file != "" {
			writeHeapProfile(b, file)
		}
		each := func(after, before uint64) float64 { return (float64(after) - float64(before)) / connections }
		b.ReportMetric(each(after.heap, before.heap), "heap-B/conn")
		b.ReportMetric(each(after.spans, before.spans), "spans-B/conn")
		b.ReportMetric(each(after.runtime, before.runtime), "runtime-B/conn")
		b.ReportMetric(each(after.resident, before.resident), "rss-B/conn")
		b.ReportMetric(each(loose, before.resident), "loose-rss-B/conn")
		b.ReportMetric(0, "ns/op")
		for _, fd := range clients {
			_ = unix.Close(fd)
		}
		eventually.True(b, "all connections have ended", func() bool { return g.Connections() == 0 })
	}
}

// idleBackends are backends that hold nothing for a connection.
type idleBackends struct {
	Store
	publisherFunc
}

func (idleBackends) Epoch() (string, <-chan struct{}) { return "epoch", nil }

func (idleBackends) Authenticate(r *http.Request) (store.Session, chat.User, error) {
	var id int64
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer %d", &id); err != nil {
		return store.Session{}, chat.User{}, err
	}
	return store.Session{ID: chat.SessionID(id)}, chat.User{ID: chat.UserID(id), Name: fmt.Sprintf("user%d", id)}, nil
}

// Changed and Failures answer a sync.
func (idleBackends) Changed(context.Context, chat.UserID, store.Position, int) ([]store.ChangedConversation, store.Position, bool, error) {
	return nil, "", false, nil
}

func (idleBackends) Failures(context.Context, chat.UserID, store.Position) ([]chat.Failure, error) {
	return nil, nil
}

func (idleBackends) SetLastSeen(context.Context, chat.UserID, time.Time) error { return nil }
func (idleBackends) Typing(context.Context, chat.Audience, chat.UserID)        {}
func (idleBackends) Marked(context.Context, chat.Membership)                   {}
func (idleBackends) PresenceChanged(context.Context, presence.State)           {}
func (idleBackends) EndedSessions(context.Context, []chat.SessionID) ([]chat.SessionID, error) {
	return nil, nil
}

// startIdleGateway starts a gateway behind an HTTP server, and returns its address.
func startIdleGateway(b *testing.B) (*Gateway, netip.AddrPort) {
	b.Helper()
	bus, err := localpubsub.New(localpubsub.Config{})
	if err != nil {
		b.Fatal(err)
	}
	backends := idleBackends{}
	g, err := New(b.Context(), Config{Node: "node", AwayGrace: time.Millisecond, GoodbyeSpread: time.Millisecond, Standalone: true}, Dependencies{
		Auth: backends, Store: backends, Publisher: backends, Announcer: backends,
		Presence: localpresence.New(nil), Bus: bus, Cursors: cursor.NewSealer(nil),
		SendLimiter: newLimiter(b, 20, 60), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	// The timeouts are those of a process that serves.
	server := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	b.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(server.Shutdown(ctx), g.Stop(ctx), bus.Close()); err != nil {
			b.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return g, l.Addr().(*net.TCPAddr).AddrPort()
}

// dialIdle opens a connection of a user, sends a ping, and reads until the answer.
// It returns the client's descriptor.
func dialIdle(b *testing.B, addr netip.AddrPort, user int) int {
	b.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	request := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %v\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\nAuthorization: Bearer %d\r\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\r\n", addr, wire.Subprotocol, user)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		b.Fatal(err)
	}
	exchange(b, fd, []byte(request), `"t":"hello"`)
	exchange(b, fd, clientFrame(`{"t":"sync","id":"1"}`), `"t":"synced"`)
	exchange(b, fd, clientFrame(`{"t":"ping"}`), `"t":"pong"`)
	return fd
}

func clientFrame(text string) []byte {
	return ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(text))))
}

// exchange writes p and reads until answer.
func exchange(b *testing.B, fd int, p []byte, answer string) {
	b.Helper()
	if _, err := unix.Write(fd, p); err != nil {
		b.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 4096)
	for !strings.Contains(string(got), answer) {
		n, err := unix.Read(fd, buf)
		if err != nil || n == 0 {
			b.Fatalf("%v after %q", err, got)
		}
		got = append(got, buf[:n]...)
	}
}

// usedMemory is memory of this process in bytes.
type usedMemory struct{ heap, spans, runtime, resident uint64 }

// memoryOf collects the garbage, returns what is free to the system, and tells what
// is left.
func memoryOf(b *testing.B) usedMemory {
	b.Helper()
	debug.FreeOSMemory()
	debug.FreeOSMemory() // finalizers and pools need two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usedMemory{
		heap: m.HeapAlloc, spans: m.HeapInuse - m.HeapAlloc,
		runtime:  m.StackInuse + m.MSpanInuse + m.MCacheInuse + m.BuckHashSys + m.GCSys + m.OtherSys,
		resident: residentMemory(b),
	}
}

// residentMemory is how much memory this process has, in bytes.
func residentMemory(b *testing.B) uint64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * uint64(os.Getpagesize())
}

func writeHeapProfile(b *testing.B, name string) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close()); err != nil {
		b.Fatal(err)
	}
}

package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// serverDataEnv is the environment variable with a data folder. When it is set,
// the test binary runs a server on that folder instead of the tests.
const serverDataEnv = "HIKYAKU_TEST_DATA"

func TestMain(m *testing.M) {
	if data := os.Getenv(serverDataEnv); data != "" {
		serve(data)
		return
	}
	os.Exit(m.Run())
}

// serve serves until the process is killed, or its parent has ended.
func serve(data string) {
	a, err := app.Start(context.Background(), app.Config{
		Listen: "127.0.0.1:0", Data: data, Registration: "open", Registrations: 100_000, SetupToken: acceptance.SetupToken, Drain: 10 * time.Second, Version: "test",
		Hash: password.Config{MemoryKiB: 64, Concurrency: 8}.WithDefaults(), Push: app.PushConfig{Delay: 5 * time.Second},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Gateway: gateway.Config{
			PerSecond: 1e6, Burst: 1e6, InFlight: 128, ConnectionsPerUser: 50, Heartbeat: 3 * time.Second, GoodbyeSpread: 5 * time.Second,
		}.WithDefaults(),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(a.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// process is a server process that can be killed. It runs this test binary, so it
// has the race detector and needs no other build.
type process struct {
	cmd *exec.Cmd
	url string
}

func startProcess(t *testing.T, data string) *process {
	t.Helper()
	stacktest.SkipIfShort(t)
	cmd := exec.CommandContext(context.Background(), os.Args[0]) // it ends with its standard input
	cmd.Env = append(os.Environ(), serverDataEnv+"="+data)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if p.url = strings.TrimSpace(line); err != nil {
		p.kill()
		t.Fatalf("the server said %q, %v", line, err)
	}
	return p
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// server is the current server process, for clients that must reconnect to it.
type server struct {
	mu      sync.Mutex
	current *process
	changed chan struct{} // closed when current is replaced
}

func (s *server) set(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = p
	if s.changed != nil {
		close(s.changed)
	}
	s.changed = make(chan struct{})
}

func (s *server) get() (url string, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.url, s.changed
}

// sender is a client with an outbox: unanswered messages are sent again, in order
// and with the same id, on the next connection.
type sender struct {
	token        string
	conversation chat.ConversationID

	mu       sync.Mutex
	outbox   []wire.Send
	accepted []string // bodies, in the order of sending
	inFlight chan struct{}
	acked    chan<- struct{} // receives when a message was accepted
}

// count returns how many of its messages were accepted.
func (s *sender) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted)
}

const window = 32

func (s *sender) onFrame(f client.Frame) {
	if f.T != "accepted" {
		return
	}
	var a wire.Accepted
	if f.Into(&a) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.outbox {
		if s.outbox[i].ID == a.ID {
			s.accepted = append(s.accepted, s.outbox[i].Body)
			select {
			case s.acked <- struct{}{}:
			default:
			}
			s.outbox = append(s.outbox[:i:i], s.outbox[i+1:]...)
			select {
			case <-s.inFlight:
			default:
			}
			return
		}
	}
}

func (s *sender) run(ctx context.Context, srv *server) {
	n := 0
	for ctx.Err() == nil {
		url, changed := srv.get()
		c, _ := client.New(url)
		socket, err := c.WithToken(s.token).Dial(ctx, s.onFrame)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-changed:
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		s.mu.Lock()
		unanswered := append([]wire.Send(nil), s.outbox...)
		s.inFlight = make(chan struct{}, window)
		for range unanswered {
			s.inFlight <- struct{}{}
		}
		s.mu.Unlock()
		for i := range unanswered {
			_ = socket.Send(unanswered[i])
		}
		for alive := true; alive; {
			select {
			case <-ctx.Done():
				alive = false
			case <-socket.Done():
				alive = false
			case s.inFlight <- struct{}{}:
				f := wire.Send{T: "send", ID: client.NewClientID(), Conversation: s.conversation, Body: fmt.Sprint(n)}
				n++
				s.mu.Lock()
				s.outbox = append(s.outbox, f)
				s.mu.Unlock()
				_ = socket.Send(f)
			}
		}
		socket.Close()
	}
}

// A server that is killed twenty times, at random moments, keeps every message that
// it accepted, once, in the order in which it was sent (G1, G2, G3).
func TestKilledServerKeepsWhatItAccepted(t *testing.T) {
	t.Parallel()
	const senders, kills, each = 6, 20, 30
	data := t.TempDir()
	srv := &server{}
	srv.set(startProcess(t, data))
	t.Cleanup(func() { srv.current.kill() })

	acked := make(chan struct{}, 1)
	var all []*sender
	for i := range senders {
		c := acceptance.Register(t, srv.current.url, fmt.Sprintf("sender%d", i))
		g, err := c.CreateGroup(t.Context(), "Notes")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &sender{token: c.Token(), conversation: g.ID, acked: acked})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { s.run(ctx, srv) })
	}
	// waitAccepted blocks until so many more messages were accepted.
	waitAccepted := func(more int) {
		t.Helper()
		total := func() (n int) {
			for _, s := range all {
				n += s.count()
			}
			return n
		}
		for want, late := total()+more, time.After(patience); total() < want; {
			select {
			case <-acked:
			case <-late:
				t.Fatalf("%d messages are accepted, and %d are wanted", total(), want)
			}
		}
	}
	for range kills {
		waitAccepted(each)
		// The random time varies the moment of the kill; nothing is awaited.
		time.Sleep(rand.N(200 * time.Millisecond))
		srv.current.kill()
		srv.set(startProcess(t, data))
	}
	waitAccepted(each)
	cancel()
	wg.Wait()

	total := 0
	for i, s := range all {
		c, err := client.New(srv.current.url)
		if err != nil {
			t.Fatal(err)
		}
		history, err := c.WithToken(s.token).History(t.Context(), s.conversation)
		if err != nil {
			t.Fatal(err)
		}
		position := map[string]int{}
		for n, m := range history {
			if m.Seq != int64(n+1) || m.Body != fmt.Sprint(n) {
				t.Fatalf("sender %d: message %d of the history is %q with seq %d", i, n+1, m.Body, m.Seq)
			}
			position[m.Body] = n
		}
		for _, body := range s.accepted {
			if _, ok := position[body]; !ok {
				t.Errorf("sender %d: message %s was accepted and is lost", i, body)
			}
		}
		total += len(s.accepted)
	}
	if total < each*kills {
		t.Errorf("only %d messages were accepted; the test proves nothing", total)
	}
	t.Logf("%d messages accepted over %d kills", total, kills)
}

package app_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/talktest"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// process is a server as an operator runs it.
type process struct {
	cmd *exec.Cmd
	url string
}

func buildBinary(t *testing.T) string {
	t.Helper()
	stacktest.SkipIfShort(t)
	path := filepath.Join(t.TempDir(), "hikyaku")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../cmd/hikyaku").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

func startProcess(t *testing.T, binary, data string) *process {
	t.Helper()
	// It dies with the test in any case.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, "serve", "--listen", "127.0.0.1:0", "--data", data,
		"--rate", "1000000", "--burst", "1000000", "--hash-memory", "64", "--log-level", "error")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), "open ")
	if err != nil || !ok {
		t.Fatalf("the server said %q, %v", line, err)
	}
	return &process{cmd: cmd, url: url}
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// server is the process that runs now, for those who must find it again.
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

// sender is a device with an outbox: what has no answer is sent again, in
// order, under the same id, on the next connection.
type sender struct {
	token        string
	conversation chat.ConversationID

	mu       sync.Mutex
	outbox   []wire.Send
	accepted []string // bodies, in the order of sending
	room     chan struct{}
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
			s.outbox = append(s.outbox[:i:i], s.outbox[i+1:]...)
			select {
			case <-s.room:
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
		again := append([]wire.Send(nil), s.outbox...)
		s.room = make(chan struct{}, window)
		for range again {
			s.room <- struct{}{}
		}
		s.mu.Unlock()
		for i := range again {
			_ = socket.Send(again[i])
		}
		for alive := true; alive; {
			select {
			case <-ctx.Done():
				alive = false
			case <-socket.Done():
				alive = false
			case s.room <- struct{}{}:
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

// A server that is killed at any moment, twenty times, keeps every message
// that it accepted, once, in the order in which it was sent (G1, G2, G3).
func TestKilledServerKeepsWhatItAccepted(t *testing.T) {
	const senders, kills = 6, 20
	binary, data := buildBinary(t), t.TempDir()
	srv := &server{}
	srv.set(startProcess(t, binary, data))
	t.Cleanup(func() { srv.current.kill() })

	var all []*sender
	for i := range senders {
		c := talktest.Register(t, srv.current.url, fmt.Sprintf("sender%d", i))
		g, err := c.CreateGroup(t.Context(), "Notes")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &sender{token: c.Token(), conversation: g.ID})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { s.run(ctx, srv) })
	}
	for range kills {
		// The moment is what varies; nothing is waited for.
		time.Sleep(100*time.Millisecond + rand.N(300*time.Millisecond))
		srv.current.kill()
		srv.set(startProcess(t, binary, data))
	}
	time.Sleep(300 * time.Millisecond)
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
		place := map[string]int{}
		for n, m := range history {
			if m.Seq != int64(n+1) || m.Body != fmt.Sprint(n) {
				t.Fatalf("sender %d: message %d of the history is %q with seq %d", i, n+1, m.Body, m.Seq)
			}
			place[m.Body] = n
		}
		for _, body := range s.accepted {
			if _, ok := place[body]; !ok {
				t.Errorf("sender %d: message %s was accepted and is lost", i, body)
			}
		}
		total += len(s.accepted)
	}
	if total < 100*senders {
		t.Errorf("only %d messages were accepted; the test proves nothing", total)
	}
	t.Logf("%d messages accepted over %d kills", total, kills)
}

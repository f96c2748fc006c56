// Package protocol_test runs a client that was written from docs/protocol.md alone,
// in another language, against a server over a path that breaks.
package protocol_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	secret = "correct horse battery"
	rounds = 100
)

func startServer(t *testing.T) *app.App {
	t.Helper()
	a, err := app.Start(context.Background(), app.Config{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Registration: "open", Registrations: 100_000, SetupToken: acceptance.SetupToken, Drain: 5 * time.Second,
		Hash: password.Config{MemoryKiB: 64}.WithDefaults(), Version: "test",
		Logger: slog.New(slog.DiscardHandler), Push: app.PushConfig{Delay: 5 * time.Second},
		Gateway: gateway.Config{
			// A client that sends as many as may be in flight exceeds the burst, on a slow
			// machine too.
			PerSecond: 40, Burst: 4, InFlight: 8, Heartbeat: 200 * time.Millisecond, GoodbyeSpread: time.Second,
		}.WithDefaults(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), eventually.Timeout)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return a
}

// python is the client as a process, which may be ended and started again: its
// input and its state go on.
type python struct {
	args   []string
	cmd    *exec.Cmd
	stdin  *os.File // the process's end of input
	input  *os.File
	output bytes.Buffer
	errors bytes.Buffer
}

func startClient(t *testing.T, url, name string) *python {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("this test needs Python 3: scripts/install python3: %v", err)
	}
	p := &python{args: []string{path, "-B", "client.py", "--url", url, "--name", name, "--password", secret, "--pause", "0.1", "--state", filepath.Join(t.TempDir(), "state")}}
	if p.stdin, p.input, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.stdin.Close(), p.input.Close() })
	p.start(t)
	return p
}

func (p *python) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Timeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...) //nolint:gosec // the test's own client
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, &p.output, &p.errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() }) // it has ended, unless the test failed
	p.cmd = cmd
}

// restart ends the client wherever it is, and starts it again.
func (p *python) restart(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	p.start(t)
}

func (p *python) wait(t *testing.T) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the client: %v\n%s", err, p.errors.String())
	}
}

func (p *python) send(t *testing.T, to chat.ConversationID, body string) {
	t.Helper()
	line, err := json.Marshal(map[string]string{"conversation": to.String(), "body": body})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.input.Write(append(line, '\n')); err != nil {
		t.Fatalf("the client has ended: %v\n%s", err, p.errors.String())
	}
}

// state is what the client has in the end.
type state struct {
	Conversations map[string]struct {
		Rev      int64
		Messages []struct {
			Seq, Rev  int64
			Sender    chat.UserID
			ClientID  chat.ClientID `json:"client_id"`
			Body      string
			DeletedAt wire.Millis `json:"deleted_at"`
		}
	}
	Answers map[string]string
	Counts  map[string]int
}

func (p *python) finish(t *testing.T) (s state) {
	t.Helper()
	if err := p.input.Close(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	if err := json.Unmarshal(p.output.Bytes(), &s); err != nil {
		t.Fatalf("%v: %s", err, p.output.String())
	}
	return s
}

// A client that does what docs/protocol.md says has every message once, in the
// order of the server, and each message that it sent is stored once, in its order,
// though connections are cut, frames lost, and the client itself is ended and started
// again, and it sends faster than it may.
func TestClientFromTheDocument(t *testing.T) {
	stacktest.SkipIfShort(t)
	server := startServer(t)
	proxy := startProxy(t, strings.TrimPrefix(server.URL(), "http://"))
	aki, ben := acceptance.Register(t, server.URL(), "aki"), acceptance.Register(t, server.URL(), "ben")
	group := of(aki.CreateGroup(t.Context(), "Team", ben.Me().ID)).must(t).ID
	direct := of(aki.CreateDirect(t.Context(), ben.Me().ID)).must(t).ID
	left := of(aki.CreateGroup(t.Context(), "Left", ben.Me().ID)).must(t).ID
	back := of(aki.CreateGroup(t.Context(), "Left and back", ben.Me().ID)).must(t).ID
	late := chat.ConversationID(0)

	writer, err := syncclient.Start(aki, syncclient.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	p := startClient(t, proxy.url, ben.Me().Name)
	opened := int64(0) // connections when the client was started
	sent := map[chat.ConversationID][]string{}
	do := func(method, path string, in any) {
		t.Helper()
		if err := aki.Do(t.Context(), method, path, in, nil); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	members := func(id chat.ConversationID) string { return fmt.Sprintf("/conversations/%s/members", id) }
	for i := range rounds {
		for _, to := range []chat.ConversationID{group, group, direct} {
			body := fmt.Sprintf("%d of ben, 飛脚 %d", len(sent[to]), i)
			sent[to] = append(sent[to], body)
			p.send(t, to, body)
		}
		for _, to := range []chat.ConversationID{group, direct, left, back} {
			writer.Send(to, fmt.Sprintf("%d of aki", i))
		}
		if i%10 == 3 {
			eventually.True(t, "what aki sent is accepted", func() bool { return writer.Pending() == 0 })
			page := of(aki.After(t.Context(), group, 0, 200)).must(t)
			for _, m := range page.Items {
				if m.Sender == aki.Me().ID && m.DeletedAt == 0 {
					do(http.MethodPatch, fmt.Sprintf("/conversations/%s/messages/%d", group, m.Seq), map[string]string{"body": fmt.Sprint("edited in round ", i)})
					if i%20 == 3 {
						do(http.MethodDelete, fmt.Sprintf("/conversations/%s/messages/%d", group, m.Seq), nil)
					}
					break
				}
			}
			do(http.MethodPatch, "/conversations/"+group.String(), map[string]string{"title": fmt.Sprint("Team ", i)})
		}
		if i%9 == 5 {
			eventually.True(t, "the client has begun", func() bool { return proxy.opened.Load() > opened })
			p.restart(t)
			opened = proxy.opened.Load()
		}
		switch i {
		case rounds / 3:
			do(http.MethodDelete, members(back)+"/"+ben.Me().ID.String(), nil)
			late = of(aki.CreateGroup(t.Context(), "Late", ben.Me().ID)).must(t).ID
		case rounds / 2:
			do(http.MethodPost, members(back), map[string]any{"users": []string{ben.Me().ID.String()}})
		case 2 * rounds / 3:
			do(http.MethodDelete, members(left)+"/"+ben.Me().ID.String(), nil)
			writer.Send(late, "the only one")
		}
	}
	eventually.True(t, "what aki sent is accepted", func() bool { return writer.Pending() == 0 })
	eventually.True(t, "connections are cut and frames lost", func() bool { return proxy.cuts.Load() >= 5 && proxy.lost.Load() >= 5 })
	proxy.faulty.Store(false)
	s := p.finish(t)
	t.Logf("%d cuts, %d frames lost; %v", proxy.cuts.Load(), proxy.lost.Load(), s.Counts)

	for _, what := range []string{"connections", "resync", "gaps", "rate_limited", "order"} {
		if s.Counts[what] == 0 {
			t.Errorf("the client met no %s: the path is too good", what)
		}
	}
	for _, answer := range s.Answers {
		if answer != "accepted" {
			t.Errorf("a message was answered %s", answer)
		}
	}
	if len(s.Answers) != 3*rounds {
		t.Errorf("%d messages were answered, %d sent", len(s.Answers), 3*rounds)
	}
	want := []chat.ConversationID{group, direct, back, late}
	if len(s.Conversations) != len(want) {
		t.Errorf("the client has %d conversations, its user is in %d", len(s.Conversations), len(want))
	}
	for _, id := range want {
		compare(t, aki, ben, id, &s, sent[id])
	}
}

// compare compares what the client has of a conversation with what the server has,
// and what is stored with what the client sent.
func compare(t *testing.T, aki, ben *client.Client, id chat.ConversationID, s *state, sent []string) {
	t.Helper()
	var summary wire.Summary
	if err := aki.Do(t.Context(), http.MethodGet, "/conversations/"+id.String(), nil, &summary); err != nil {
		t.Fatal(err)
	}
	history := of(aki.History(t.Context(), id)).must(t)
	got := s.Conversations[id.String()]
	if got.Rev != summary.Rev || len(got.Messages) != len(history) {
		t.Fatalf("%s: the client has %d messages up to rev %d, the server %d up to %d", summary.Title, len(got.Messages), got.Rev, len(history), summary.Rev)
	}
	var stored []string
	for i, m := range history {
		if g := got.Messages[i]; g.Seq != m.Seq || g.Rev != m.Rev || g.Sender != m.Sender || g.ClientID != m.ClientID || g.Body != m.Body || g.DeletedAt != m.DeletedAt {
			t.Fatalf("%s: the client has %+v, the server %+v", summary.Title, g, m)
		}
		if m.Sender == ben.Me().ID {
			stored = append(stored, m.Body)
		}
	}
	if strings.Join(stored, "\n") != strings.Join(sent, "\n") {
		t.Errorf("%s: stored is\n%q\nsent was\n%q", summary.Title, stored, sent)
	}
}

// result is what a call returned.
type result[T any] struct {
	v   T
	err error
}

func of[T any](v T, err error) result[T] { return result[T]{v, err} }

// must returns the value, or fails the test.
func (r result[T]) must(t *testing.T) T {
	t.Helper()
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.v
}

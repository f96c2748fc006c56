package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/talktest"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Everything that works in one process works through nginx, whichever
// processes people meet.
func TestTalk(t *testing.T) { talktest.Run(t, cluster(t).URL()) }

// at connects a person to a certain process, past nginx.
func at(t *testing.T, addr string, c *client.Client) *talktest.Person {
	t.Helper()
	direct, err := client.New("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	return talktest.Connect(t, direct.WithToken(c.Token()))
}

// Two people on two gateways: what one does reaches the other, also what is
// not stored, and what the API does reaches both.
func TestAcrossGateways(t *testing.T) {
	s := cluster(t)
	gateways := s.Members("gateway")
	a, b := s.register(t), s.register(t)
	aki, ben := at(t, gateways[0].Addr(), a), at(t, gateways[1].Addr(), b)
	d, err := a.CreateDirect(t.Context(), b.Me().ID)
	must(t, err)
	talktest.Await(ben, "conversation", func(f wire.ConversationFrame) bool { return f.Conversation.ID == d.ID })
	aki.Say(wire.Watch{T: "watch", Users: []chat.UserID{b.Me().ID}})
	talktest.Await(aki, "presence", isPresence(b.Me().ID, chat.Online))
	ben.Say(wire.Typing{T: "typing", Conversation: d.ID})
	talktest.Await[wire.TypingFrame](aki, "typing", nil)
	aki.Post(d.ID, "hello")
	talktest.Await(ben, "message", talktest.IsBody("hello"))
	ben.Say(wire.Mark{T: "mark", Conversation: d.ID, Read: 1})
	talktest.Await(aki, "mark", func(f wire.MarkFrame) bool { return f.User == b.Me().ID && f.Read == 1 })
	// The gateway's process is gone without a word: so is whoever was on it.
	must(t, gateways[1].Kill())
	talktest.Await(aki, "presence", isPresence(b.Me().ID, chat.Offline))
	must(t, gateways[1].Start(t.Context()))
	ben = at(t, gateways[1].Addr(), b)
	talktest.Await(aki, "presence", isPresence(b.Me().ID, chat.Online))
	must(t, b.Do(t.Context(), http.MethodPost, "/logout", nil, nil))
	if code := talktest.CloseCode(t, ben); code != wire.CloseRevoked {
		t.Errorf("the socket of the session that ended was closed with %d", code)
	}
}

func isPresence(user chat.UserID, want chat.Presence) func(wire.PresenceFrame) bool {
	return func(f wire.PresenceFrame) bool {
		for _, s := range f.States {
			if s.User == user && s.State == want {
				return true
			}
		}
		return false
	}
}

// A Redis that comes back empty knows again within 10 s who is where: typing
// goes nowhere else and is never repaired.
func TestRoutingRebuildsItself(t *testing.T) {
	s := cluster(t)
	gateways := s.Members("gateway")
	a, b := s.register(t), s.register(t)
	aki, ben := at(t, gateways[0].Addr(), a), at(t, gateways[1].Addr(), b)
	d, err := a.CreateDirect(t.Context(), b.Me().ID)
	must(t, err)
	must(t, s.Redis[0].Kill())
	// Nobody is logged out, and people still come in.
	c := s.register(t)
	cho := at(t, gateways[0].Addr(), c)
	e, err := c.CreateDirect(t.Context(), b.Me().ID)
	must(t, err)
	cho.Post(e.ID, "are you there?")
	talktest.Await[wire.Accepted](cho, "accepted", nil)
	must(t, s.Redis[0].Start(t.Context()))
	back := time.Now()
	for _, p := range []struct {
		from, to *talktest.Person
		in       chat.ConversationID
	}{{aki, ben, d.ID}, {ben, aki, d.ID}, {cho, ben, e.ID}, {ben, cho, e.ID}} {
		for len(talktest.FramesOf(p.to, "typing")) == 0 {
			if time.Since(back) > 10*time.Second {
				t.Fatal("nobody is found again after 10 s")
			}
			p.from.Say(wire.Typing{T: "typing", Conversation: p.in})
			time.Sleep(100 * time.Millisecond)
		}
		talktest.Await[wire.TypingFrame](p.to, "typing", nil)
	}
	t.Logf("everybody was found again after %v", time.Since(back).Round(time.Millisecond))
}

// A replica that is 5 s behind is never seen: whoever wrote something reads it.
func TestReplicaBehind(t *testing.T) {
	s := cluster(t)
	a := s.register(t)
	g, err := a.CreateGroup(t.Context(), "Notes")
	must(t, err)
	p := talktest.Connect(t, a)
	// The replica may call off a statement that is in the way of what it
	// replays; then it is said again.
	tr := traffic{t: t}
	resume := func() {
		tr.eventually("the replica to go on", func() error {
			return s.Replica.Exec(t.Context(), "hikyaku", "SELECT pg_wal_replay_resume()")
		})
	}
	defer resume()
	tr.eventually("the replica to stand still", func() error {
		return s.Replica.Exec(t.Context(), "hikyaku", "SELECT pg_wal_replay_pause()")
	})
	end := time.Now().Add(5 * time.Second)
	n := 0
	write := func() {
		body := fmt.Sprint(n)
		n++
		p.Post(g.ID, body)
		talktest.Await(p, "message", talktest.IsBody(body))
		history, err := a.History(t.Context(), g.ID)
		must(t, err)
		if len(history) != n || history[n-1].Body != body {
			t.Fatalf("after message %d the history has %d", n, len(history))
		}
	}
	for time.Now().Before(end) {
		write()
	}
	resume()
	for range 20 {
		write()
	}
	t.Logf("%d writes were read at once", n)
}

// The schema of the next release is put in while people talk. Processes that
// run go on; one that starts sees that it is older, says so and stops.
func TestNewerSchema(t *testing.T) {
	s := cluster(t)
	tr := s.begin(t)
	must(t, s.Postgres.Exec(t.Context(), "hikyaku", `BEGIN;
		ALTER TABLE users ADD COLUMN of_the_next_release text;
		ALTER TABLE messages ADD COLUMN of_the_next_release text;
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true);
		COMMIT`))
	tr.while()
	worker := s.Members("worker")[0]
	must(t, worker.Kill())
	err := worker.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--database: the schema has version 9999") {
		t.Errorf("a process that is too old starts: %v", err)
	}
	if err := s.Run(t.Context(), "migrate"); err == nil || !strings.Contains(err.Error(), "--database: the schema has version 9999") {
		t.Errorf("migrate of a release that is too old: %v", err)
	}
	must(t, s.Postgres.Exec(t.Context(), "hikyaku", `BEGIN;
		DELETE FROM goose_db_version WHERE version_id = 9999;
		ALTER TABLE users DROP COLUMN of_the_next_release;
		ALTER TABLE messages DROP COLUMN of_the_next_release;
		COMMIT`))
	must(t, worker.Start(t.Context()))
	tr.flows()
	tr.verify()
}

// A gateway that stops sends its clients elsewhere, each at its own moment, and
// serves them until then.
func TestDrain(t *testing.T) {
	s := cluster(t)
	m, err := s.Add(t.Context(), "gateway")
	must(t, err)
	a := s.register(t)
	g, err := a.CreateGroup(t.Context(), "Notes")
	must(t, err)
	p := at(t, m.Addr(), a)
	must(t, m.Terminate())
	goodbye := talktest.Await[wire.Goodbye](p, "goodbye", nil)
	sent := p.Post(g.ID, "one more thing")
	select {
	case <-p.Socket.Done():
		if !errors.Is(p.Socket.Err(), client.ErrGoodbye) {
			t.Errorf("the gateway ended the connection before its time of %d ms: %v", goodbye.ReconnectAfterMS, p.Socket.Err())
		}
	case <-time.After(patience):
		t.Fatal("the connection lives on")
	}
	accepted := false
	for _, f := range talktest.FramesOf(p, "accepted") {
		accepted = accepted || strings.Contains(string(f.Raw), sent.String())
	}
	if goodbye.ReconnectAfterMS > 200 && !accepted {
		t.Error("a send during the goodbye was not answered")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, s.Remove(ctx, m))
}

func connectTo(t *testing.T, s *system, c *client.Client) *talktest.Person {
	t.Helper()
	return at(t, strings.TrimPrefix(s.URL(), "http://"), c)
}

func awaitBody(p *talktest.Person, body string) {
	talktest.Await(p, "message", talktest.IsBody(body))
}

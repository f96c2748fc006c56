package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// Everything that works with one process works through nginx, with any process.
func TestTalk(t *testing.T) { acceptance.Run(t, clustertest.Shared(t).URL()) }

// Two users on two gateways: what one does reaches the other, including what is
// not stored, and what the API does reaches both.
func TestAcrossGateways(t *testing.T) {
	s := clustertest.Shared(t)
	gateways := s.Members("gateway")
	a, b := s.Register(t), s.Register(t)
	aki, ben := clustertest.ConnectTo(t, gateways[0].Addr(), a), clustertest.ConnectTo(t, gateways[1].Addr(), b)
	d, err := a.CreateDirect(t.Context(), b.Me().ID)
	clustertest.NoError(t, err)
	acceptance.Await(ben, "conversation", func(f wire.ConversationFrame) bool { return f.Conversation.ID == d.ID })
	aki.Send(wire.Watch{T: "watch", Users: []chat.UserID{b.Me().ID}})
	acceptance.Await(aki, "presence", isPresence(b.Me().ID, chat.Online))
	ben.Send(wire.Typing{T: "typing", Conversation: d.ID})
	acceptance.Await[wire.TypingFrame](aki, "typing", nil)
	aki.SendMessage(d.ID, "hello")
	acceptance.Await(ben, "message", acceptance.IsBody("hello"))
	ben.Send(wire.Mark{T: "mark", Conversation: d.ID, Read: 1})
	acceptance.Await(aki, "mark", func(f wire.MarkFrame) bool { return f.User == b.Me().ID && f.Read == 1 })
	// The gateway's process is killed: its users go offline.
	clustertest.NoError(t, gateways[1].Kill())
	acceptance.Await(aki, "presence", isPresence(b.Me().ID, chat.Offline))
	clustertest.NoError(t, gateways[1].Start(t.Context()))
	ben = clustertest.ConnectTo(t, gateways[1].Addr(), b)
	acceptance.Await(aki, "presence", isPresence(b.Me().ID, chat.Online))
	clustertest.NoError(t, b.Do(t.Context(), http.MethodPost, "/logout", nil, nil))
	if code := acceptance.CloseCode(t, ben); code != wire.CloseRevoked {
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

// After Redis restarts empty, it soon knows again who is connected where: typing
// depends on that only, and is never repaired.
func TestRoutingRebuildsItself(t *testing.T) {
	s := clustertest.Shared(t)
	gateways := s.Members("gateway")
	a, b := s.Register(t), s.Register(t)
	aki, ben := clustertest.ConnectTo(t, gateways[0].Addr(), a), clustertest.ConnectTo(t, gateways[1].Addr(), b)
	d, err := a.CreateDirect(t.Context(), b.Me().ID)
	clustertest.NoError(t, err)
	clustertest.NoError(t, s.Redis[0].Kill())
	// Nobody is logged out, and logins still work.
	c := s.Register(t)
	cho := clustertest.ConnectTo(t, gateways[0].Addr(), c)
	e, err := c.CreateDirect(t.Context(), b.Me().ID)
	clustertest.NoError(t, err)
	cho.SendMessage(e.ID, "are you there?")
	acceptance.Await[wire.Accepted](cho, "accepted", nil)
	clustertest.NoError(t, s.Redis[0].Start(t.Context()))
	back := time.Now()
	for _, p := range []struct {
		from, to *acceptance.User
		in       chat.ConversationID
	}{{aki, ben, d.ID}, {ben, aki, d.ID}, {cho, ben, e.ID}, {ben, cho, e.ID}} {
		eventually.True(t, "they are found again", func() bool {
			p.from.Send(wire.Typing{T: "typing", Conversation: p.in})
			return len(acceptance.Frames(p.to, "typing")) > 0
		})
		acceptance.Await[wire.TypingFrame](p.to, "typing", nil)
	}
	t.Logf("everybody was found again after %v", time.Since(back).Round(time.Millisecond))
}

// A replica that is behind is never seen: whoever wrote something reads it.
func TestReplicaBehind(t *testing.T) {
	s := clustertest.Shared(t)
	a := s.Register(t)
	g, err := a.CreateGroup(t.Context(), "Notes")
	clustertest.NoError(t, err)
	p := acceptance.Connect(t, a)
	// The replica may call off a statement that is in the way of what it
	// replays; then it is repeated.
	resume := func() {
		eventually.Nil(t, "the replica goes on", func() error {
			return s.Replica.Exec(t.Context(), "hikyaku", "SELECT pg_wal_replay_resume()")
		})
	}
	defer resume()
	eventually.Nil(t, "the replica stands still", func() error {
		return s.Replica.Exec(t.Context(), "hikyaku", "SELECT pg_wal_replay_pause()")
	})
	n := 0
	write := func() {
		body := fmt.Sprint(n)
		n++
		p.SendMessage(g.ID, body)
		acceptance.Await(p, "message", acceptance.IsBody(body))
		history, err := a.History(t.Context(), g.ID)
		clustertest.NoError(t, err)
		if len(history) != n || history[n-1].Body != body {
			t.Fatalf("after message %d the history has %d", n, len(history))
		}
	}
	for range 50 {
		write()
	}
	resume()
	for range 20 {
		write()
	}
	t.Logf("%d writes were read at once", n)
}

// The schema of the next release is installed while users send. Running processes
// go on; one that starts finds that it is older, reports it and stops.
func TestNewerSchema(t *testing.T) {
	s := clustertest.Shared(t)
	tr := s.StartTraffic(t)
	clustertest.NoError(t, s.Postgres.Exec(t.Context(), "hikyaku", `BEGIN;
		ALTER TABLE users ADD COLUMN of_the_next_release text;
		ALTER TABLE messages ADD COLUMN of_the_next_release text;
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true);
		COMMIT`))
	tr.SendMore()
	worker := s.Members("worker")[0]
	clustertest.NoError(t, worker.Kill())
	err := worker.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--database: the schema has version 9999") {
		t.Errorf("a process that is too old starts: %v", err)
	}
	if err := s.Run(t.Context(), "migrate"); err == nil || !strings.Contains(err.Error(), "--database: the schema has version 9999") {
		t.Errorf("migrate of a release that is too old: %v", err)
	}
	clustertest.NoError(t, s.Postgres.Exec(t.Context(), "hikyaku", `BEGIN;
		DELETE FROM goose_db_version WHERE version_id = 9999;
		ALTER TABLE users DROP COLUMN of_the_next_release;
		ALTER TABLE messages DROP COLUMN of_the_next_release;
		COMMIT`))
	clustertest.NoError(t, worker.Start(t.Context()))
	tr.AwaitDelivery()
	tr.Verify()
}

// A gateway that stops sends its clients elsewhere, each at its own moment, and
// serves them until then.
func TestDrain(t *testing.T) {
	s := clustertest.Shared(t)
	m, err := s.Add(t.Context(), "gateway")
	clustertest.NoError(t, err)
	a := s.Register(t)
	g, err := a.CreateGroup(t.Context(), "Notes")
	clustertest.NoError(t, err)
	devices := make([]*acceptance.User, 8)
	for i := range devices {
		devices[i] = clustertest.ConnectTo(t, m.Addr(), a)
	}
	clustertest.NoError(t, m.Terminate())
	// The device that stays longest has the time for one message more.
	var p *acceptance.User
	var goodbye wire.Goodbye
	for _, d := range devices {
		if g := acceptance.Await[wire.Goodbye](d, "goodbye", nil); p == nil || g.ReconnectAfterMS > goodbye.ReconnectAfterMS {
			p, goodbye = d, g
		}
	}
	sent := p.SendMessage(g.ID, "one more thing")
	for _, d := range devices {
		eventually.Receive(t, "the connection ends", d.Socket.Done())
		if !errors.Is(d.Socket.Err(), client.ErrGoodbye) {
			t.Errorf("the gateway ended a connection before its time: %v", d.Socket.Err())
		}
	}
	accepted := false
	for _, f := range acceptance.Frames(p, "accepted") {
		accepted = accepted || strings.Contains(string(f.Raw), sent.String())
	}
	if goodbye.ReconnectAfterMS > 4000 && !accepted {
		t.Error("a send during the goodbye was not answered")
	}
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Timeout)
	defer cancel()
	clustertest.NoError(t, s.Remove(ctx, m))
}

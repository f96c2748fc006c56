package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

func TestTwoPeopleTalk(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	if !aki.Me().Admin || ben.Me().Admin {
		t.Error("the first account alone administers")
	}
	d, err := aki.CreateDirect(t.Context(), ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	await(ben, "conversation", func(f wire.ConversationFrame) bool { return f.Conversation.ID == d.ID })

	id := aki.send(d.ID, "hello")
	await(aki, "accepted", isID(id))
	own := await(aki, "message", isBody("hello"))
	got := await(ben, "message", isBody("hello"))
	if own.Message != got.Message || got.Seq != 1 || got.Sender != aki.Me().ID || got.ClientID != id {
		t.Errorf("aki sees %+v, ben %+v", own, got)
	}

	// The same again is answered alike, and shown once.
	aki.say(wire.Send{T: "send", ID: id, Conversation: d.ID, Body: "hello"})
	await(aki, "accepted", isID(id))
	none(ben, "message", isBody("hello"))
	// The same name with another text is not taken.
	aki.say(wire.Send{T: "send", ID: id, Conversation: d.ID, Body: "other"})
	if r := await(aki, "rejected", isRejected(id)); r.Code != "conflict" || r.RetryAfterMS != 0 {
		t.Errorf("conflict: %+v", r)
	}

	ben.say(wire.Typing{T: "typing", Conversation: d.ID})
	await(aki, "typing", func(f wire.TypingFrame) bool { return f.User == ben.Me().ID })
	none[wire.TypingFrame](ben, "typing", nil)

	ben.say(wire.Mark{T: "mark", Conversation: d.ID, Read: 1})
	for _, p := range []*person{aki, ben} {
		await(p, "mark", func(f wire.MarkFrame) bool { return f.User == ben.Me().ID && f.Read == 1 })
	}

	// Edits and deletes reach both, in the conversation's order of changes.
	var edited wire.Message
	path := fmt.Sprintf("/conversations/%s/messages/1", d.ID)
	if err := aki.Do(t.Context(), http.MethodPatch, path, map[string]string{"body": "hello, Ben"}, &edited); err != nil {
		t.Fatal(err)
	}
	if f := await[wire.MessageFrame](ben, "edited", nil); f.Message != edited || f.Rev != got.Rev+1 {
		t.Errorf("edited %+v, pushed %+v", edited, f)
	}
	if err := aki.Do(t.Context(), http.MethodDelete, path, nil, nil); err != nil {
		t.Fatal(err)
	}
	if f := await[wire.MessageFrame](ben, "deleted", nil); f.Body != "" || f.DeletedAt == 0 {
		t.Errorf("deleted %+v", f)
	}
}

func TestOutsidersGetNothing(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki, ben, eve := join(t, url, "aki"), join(t, url, "ben"), join(t, url, "eve")
	g, err := aki.CreateGroup(t.Context(), "Team", ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	// A conversation that one is not in, and one that does not exist.
	for _, id := range []chat.ConversationID{g.ID, 12345} {
		sent := eve.send(id, "let me in")
		if r := await(eve, "rejected", isRejected(sent)); r.Code != "not_found" || r.Text != "there is no such conversation" {
			t.Errorf("%d: %+v", id, r)
		}
		eve.say(wire.Sync{T: "sync", ID: "x", Conversation: id})
		if e := await[wire.ErrorFrame](eve, "error", nil); e.Code != "not_found" || e.ID != "x" {
			t.Errorf("%d: %+v", id, e)
		}
	}
	eve.say(wire.Typing{T: "typing", Conversation: g.ID})
	eve.say(wire.Mark{T: "mark", Conversation: g.ID, Read: 1})
	// Nor whether people whom one does not know are there.
	eve.say(wire.Watch{T: "watch", Users: []chat.UserID{aki.Me().ID}})
	none[wire.PresenceFrame](eve, "presence", nil)

	aki.send(g.ID, "before")
	await(ben, "message", isBody("before"))
	if err := aki.Remove(t.Context(), g.ID, ben.Me().ID); err != nil {
		t.Fatal(err)
	}
	await(ben, "removed", func(f wire.Removed) bool { return f.Conversation == g.ID })
	aki.send(g.ID, "after")
	await(aki, "message", isBody("after"))
	none(ben, "message", isBody("after"))
	sent := ben.send(g.ID, "still here?")
	if r := await(ben, "rejected", isRejected(sent)); r.Code != "not_found" {
		t.Errorf("a removed member: %+v", r)
	}
	if _, err := ben.History(t.Context(), g.ID); problemCode(err) != "not_found" {
		t.Errorf("a removed member reads: %v", err)
	}
	none[wire.TypingFrame](aki, "typing", nil)
	none[wire.MarkFrame](aki, "mark", nil)
}

func problemCode(err error) string {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return fmt.Sprint(err)
}

func TestLargeRoom(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki := join(t, url, "aki")
	ch, err := aki.CreateChannel(t.Context(), "general")
	if err != nil {
		t.Fatal(err)
	}
	var people []*person
	for i := range chat.SmallConversation + 6 {
		p := join(t, url, fmt.Sprintf("member%d", i))
		if err := p.Join(t.Context(), ch.ID); err != nil {
			t.Fatal(err)
		}
		people = append(people, p)
	}
	aki.send(ch.ID, "to all")
	for _, p := range people {
		await(p, "message", isBody("to all"))
	}
	gone := people[3]
	if err := aki.Remove(t.Context(), ch.ID, gone.Me().ID); err != nil {
		t.Fatal(err)
	}
	aki.send(ch.ID, "to the rest")
	for _, p := range people {
		if p != gone {
			await(p, "message", isBody("to the rest"))
		}
	}
	none(gone, "message", isBody("to the rest"))
}

func TestPresence(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	if _, err := aki.CreateDirect(t.Context(), ben.Me().ID); err != nil {
		t.Fatal(err)
	}
	is := func(want chat.Presence) func(wire.PresenceFrame) bool {
		return func(f wire.PresenceFrame) bool {
			return len(f.States) == 1 && f.States[0].User == ben.Me().ID && f.States[0].State == want
		}
	}
	aki.say(wire.Watch{T: "watch", Users: []chat.UserID{ben.Me().ID}})
	await(aki, "presence", is(chat.Online))
	ben.say(wire.Status{T: "status", Away: true})
	await(aki, "presence", is(chat.Away))
	ben.socket.Close()
	if f := await(aki, "presence", is(chat.Offline)); f.States[0].LastSeen == 0 {
		t.Errorf("when was ben last seen? %+v", f)
	}
	connect(t, ben.Client)
	await(aki, "presence", is(chat.Online))
}

func TestSync(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	d, err := aki.CreateDirect(t.Context(), ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	sync := func(cursor string) wire.Synced {
		ben.say(wire.Sync{T: "sync", ID: "s", Cursor: cursor})
		return await[wire.Synced](ben, "synced", nil)
	}
	first := sync("")
	if len(first.Conversations) != 1 || first.Conversations[0].ID != d.ID || first.Conversations[0].Peer.ID != aki.Me().ID {
		t.Fatalf("%+v", first)
	}
	if again := sync(first.Cursor); len(again.Conversations) != 0 || again.More {
		t.Errorf("nothing happened, yet: %+v", again)
	}
	ben.socket.Close()
	for i := range 250 {
		aki.send(d.ID, fmt.Sprint(i))
	}
	await(aki, "message", isBody("249"))
	ben = connect(t, ben.Client)
	missed := sync(first.Cursor)
	if len(missed.Conversations) != 1 || missed.Conversations[0].Seq != 250 || missed.Conversations[0].Unread != 250 {
		t.Fatalf("%+v", missed)
	}
	rev, seen := first.Conversations[0].Rev, 0
	for {
		ben.say(wire.Sync{T: "sync", ID: "c", Conversation: d.ID, Rev: rev, Limit: 100})
		c := await[wire.Changes](ben, "changes", nil)
		for _, m := range c.Messages {
			if m.Body != fmt.Sprint(seen) {
				t.Fatalf("%s where %d was due", m.Body, seen)
			}
			seen++
		}
		if rev = c.Rev; !c.More {
			break
		}
	}
	if seen != 250 || rev != missed.Conversations[0].Rev {
		t.Errorf("%d messages up to rev %d", seen, rev)
	}
	// The head check agrees with what a device can add up.
	ben.say(wire.Ping{T: "ping"})
	if p := await[wire.Pong](ben, "pong", nil); p.Conversations != 1 || p.Sum != rev || !p.Checked {
		t.Errorf("%+v, want the sum %d", p, rev)
	}
	ben.say(wire.Sync{T: "sync", ID: "t", Cursor: missed.Cursor[:len(missed.Cursor)-2] + "AA"})
	if e := await[wire.ErrorFrame](ben, "error", nil); e.Code != "invalid" || e.ID != "t" {
		t.Errorf("a tampered cursor: %+v", e)
	}
}

func TestMalformedFrames(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki := join(t, url, "aki")
	for _, tt := range []struct{ in, code string }{
		{"hello", "malformed"},
		{"[]", "malformed"},
		{`{"t":"send","id":"x","conversation":"1"}`, "malformed"},
		{`{"t":"typing"}`, "malformed"},
		{`{"t":"watch","users":["` + strings.Repeat(`1","`, 600) + `1"]}`, "too_large"},
	} {
		if err := aki.socket.SendRaw([]byte(tt.in)); err != nil {
			t.Fatal(err)
		}
		if e := await[wire.ErrorFrame](aki, "error", nil); e.Code != tt.code {
			t.Errorf("%s: %+v", tt.in, e)
		}
	}
	if err := aki.socket.SendRaw([]byte(`{"t":"from the future","id":[]}`)); err != nil {
		t.Fatal(err)
	}
	none[wire.ErrorFrame](aki, "error", nil) // and the connection lives
}

func TestFrameTooLarge(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki := join(t, url, "aki")
	_ = aki.socket.SendRaw(make([]byte, aki.socket.Hello.Limits.FrameBytes+1))
	if code := closeCode(t, aki); code != 1009 {
		t.Errorf("closed with %d, want 1009", code)
	}
}

func closeCode(t *testing.T, p *person) int {
	t.Helper()
	select {
	case <-p.socket.Done():
	case <-time.After(patience):
		t.Fatal("the connection lives")
	}
	var c *client.CloseError
	if !errors.As(p.socket.Err(), &c) {
		t.Fatalf("ended with %v", p.socket.Err())
	}
	return c.Code
}

func TestRevokedSessionIsClosed(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki := join(t, url, "aki")
	other := connect(t, aki.Client)
	if err := aki.Do(t.Context(), http.MethodPost, "/logout", nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*person{aki, other} {
		if code := closeCode(t, p); code != wire.CloseRevoked {
			t.Errorf("closed with %d, want %d", code, wire.CloseRevoked)
		}
	}
	if _, err := aki.Dial(t.Context(), nil); err == nil {
		t.Error("an ended session connects")
	}
}

// An operator's command is another process; the server finds out by itself.
func TestOperatorLocksAnAccountThatIsConnected(t *testing.T) {
	cfg := testConfig(t)
	url := start(t, cfg).URL()
	join(t, url, "aki")
	ben := join(t, url, "ben")
	op, err := app.OpenOperator(t.Context(), cfg.Data, cfg.Logger)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = op.Close() }()
	if err := op.SetDisabled(t.Context(), "ben", true); err != nil {
		t.Fatal(err)
	}
	if code := closeCode(t, ben); code != wire.CloseRevoked {
		t.Errorf("closed with %d, want %d", code, wire.CloseRevoked)
	}
}

func TestOverloadIsHonest(t *testing.T) {
	cfg := testConfig(t)
	cfg.Gateway.PerSecond, cfg.Gateway.Burst = 50, 10
	url := start(t, cfg).URL()
	aki := join(t, url, "aki")
	g, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	// Thirty at once: some are taken; the first that is not holds up all that
	// were sent behind it, and sending on in order gets everything through.
	const n = 30
	ids := make([]chat.ClientID, n)
	for i := range ids {
		ids[i] = aki.send(g.ID, fmt.Sprint(i))
	}
	for i := range n {
		for {
			rejected := false
			var wait time.Duration
			answer(aki, ids[i], func(r *wire.Rejected) {
				rejected, wait = true, time.Duration(r.RetryAfterMS)*time.Millisecond
				if r.RetryAfterMS <= 0 || (r.Code != "rate_limited" && r.Code != "order") {
					t.Errorf("message %d: %+v", i, r)
				}
			})
			if !rejected {
				break
			}
			time.Sleep(wait)
			aki.say(wire.Send{T: "send", ID: ids[i], Conversation: g.ID, Body: fmt.Sprint(i)})
		}
	}
	history, err := aki.History(t.Context(), g.ID)
	if err != nil || len(history) != n {
		t.Fatalf("%d messages, %v", len(history), err)
	}
	for i, m := range history {
		if m.Body != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, m.Body)
		}
	}
}

// answer waits for accepted, or calls rejected.
func answer(p *person, id chat.ClientID, rejected func(*wire.Rejected)) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		p.mu.Lock()
		for i, f := range p.frames {
			if (f.T == "accepted" || f.T == "rejected") && strings.Contains(string(f.Raw), id.String()) {
				p.frames = append(p.frames[:i:i], p.frames[i+1:]...)
				p.mu.Unlock()
				if f.T == "rejected" {
					var r wire.Rejected
					if err := (client.Frame{Raw: f.Raw}).Into(&r); err != nil {
						p.t.Fatal(err)
					}
					rejected(&r)
				}
				return
			}
		}
		p.mu.Unlock()
		select {
		case <-p.poke:
		case <-time.After(patience):
		}
	}
	p.t.Fatalf("no answer to %s", id)
}

func TestStopIsGraceful(t *testing.T) {
	cfg := testConfig(t)
	a := start(t, cfg)
	aki := join(t, a.URL(), "aki")
	g, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	var ids []chat.ClientID
	for i := range 200 {
		ids = append(ids, aki.send(g.ID, fmt.Sprint(i)))
	}
	await(aki, "accepted", isID(ids[0]))
	stop(t, a)
	<-aki.socket.Done()
	if len(framesOf(aki, "goodbye")) != 1 {
		t.Error("no goodbye")
	}
	accepted := len(framesOf(aki, "accepted")) + 1
	// A second start has everything again, the session included.
	b := start(t, cfg)
	c, err := client.New(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	history, err := c.WithToken(aki.Token()).History(context.Background(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(history) < accepted {
		t.Errorf("%d accepted, %d stored", accepted, len(history))
	}
	for i, m := range history {
		if m.Seq != int64(i+1) || m.Body != fmt.Sprint(i) {
			t.Fatalf("message %d is %+v", i+1, m)
		}
	}
}

func framesOf(p *person, t string) (found []kept) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		if f.T == t {
			found = append(found, f)
		}
	}
	return found
}

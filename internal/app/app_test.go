package app_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// An operator's command is another process; the server detects the change itself.
func TestOperatorLocksAnAccountThatIsConnected(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	cfg := testConfig(t)
	url := start(t, cfg).URL()
	acceptance.Join(t, url, "aki")
	ben := acceptance.Join(t, url, "ben")
	op, err := app.OpenOperator(t.Context(), "", cfg.Data, false, cfg.Logger)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = op.Close() }()
	if err := op.SetDisabled(t.Context(), "ben", true); err != nil {
		t.Fatal(err)
	}
	if code := acceptance.CloseCode(t, ben); code != wire.CloseRevoked {
		t.Errorf("closed with %d, want %d", code, wire.CloseRevoked)
	}
}

func TestRateLimitKeepsOrder(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Gateway.PerSecond, cfg.Gateway.Burst = 50, 10
	url := start(t, cfg).URL()
	aki := acceptance.Join(t, url, "aki")
	g, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	// Thirty at once: some are accepted. The first one that is rejected makes all
	// later ones be rejected; retries in order get everything accepted.
	const n = 30
	ids := make([]chat.ClientID, n)
	for i := range ids {
		ids[i] = aki.SendMessage(g.ID, fmt.Sprint(i))
	}
	for i := range n {
		for {
			rejected, limited := false, false
			var wait time.Duration
			aki.AwaitAnswer(ids[i], func(r *wire.Rejected) {
				rejected, limited, wait = true, r.Code == "rate_limited", time.Duration(r.RetryAfterMS)*time.Millisecond
				if r.RetryAfterMS <= 0 || (r.Code != "rate_limited" && r.Code != "order") {
					t.Errorf("message %d: %+v", i, r)
				}
			})
			if !rejected {
				break
			}
			if limited {
				time.Sleep(wait)
			} // else it waited for the one before, which is accepted now
			aki.Send(wire.Send{T: "send", ID: ids[i], Conversation: g.ID, Body: fmt.Sprint(i)})
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

// A refused message is waited for until its sender sends it again or withdraws
// it, and each refusal says so.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Gateway.PerSecond, cfg.Gateway.Burst = 0.001, 1
	aki := acceptance.Join(t, start(t, cfg).URL(), "aki")
	g, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	accepted, first, second := aki.SendMessage(g.ID, "accepted"), aki.SendMessage(g.ID, "first"), aki.SendMessage(g.ID, "second")
	acceptance.Await(aki, "accepted", acceptance.IsID(accepted))
	if r := acceptance.Await(aki, "rejected", acceptance.IsRejected(first)); r.Code != "rate_limited" || r.WaitsFor != (chat.ClientID{}) {
		t.Errorf("the first message: %+v", r)
	}
	if r := acceptance.Await(aki, "rejected", acceptance.IsRejected(second)); r.Code != "order" || r.WaitsFor != first || r.RetryAfterMS <= 0 {
		t.Errorf("the second message behind the first: %+v", r)
	}
	for _, id := range []chat.ClientID{first, first, accepted} { // the last two say nothing new
		aki.Send(wire.Withdraw{T: "withdraw", ID: id})
		acceptance.Await(aki, "withdrawn", func(f wire.Withdrawn) bool { return f.ID == id })
	}
	aki.Send(wire.Send{T: "send", ID: second, Conversation: g.ID, Body: "second"})
	if r := acceptance.Await(aki, "rejected", acceptance.IsRejected(second)); r.Code != "rate_limited" || r.WaitsFor != (chat.ClientID{}) {
		t.Errorf("the second message alone: %+v", r)
	}
	if history, err := aki.History(t.Context(), g.ID); err != nil || len(history) != 1 || history[0].ClientID != accepted {
		t.Errorf("stored: %+v, %v", history, err)
	}
}

func TestStopIsGraceful(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	a := start(t, cfg)
	aki := acceptance.Join(t, a.URL(), "aki")
	g, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	var ids []chat.ClientID
	for i := range 200 {
		ids = append(ids, aki.SendMessage(g.ID, fmt.Sprint(i)))
	}
	acceptance.Await(aki, "accepted", acceptance.IsID(ids[0]))
	stop(t, a)
	<-aki.Socket.Done()
	if len(acceptance.Frames(aki, "goodbye")) != 1 {
		t.Error("no goodbye")
	}
	accepted := len(acceptance.Frames(aki, "accepted")) + 1
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

func TestTalk(t *testing.T) { acceptance.Run(t, start(t, testConfig(t)).URL()) }

// A device that lost the frame of another member's mark, on a connection that never
// broke, is told so by the check of its heartbeat.
func TestLostMarkIsFound(t *testing.T) {
	cfg := testConfig(t)
	cfg.Gateway.CheckInterval = 100 * time.Millisecond
	url := start(t, cfg).URL()
	aki, ben := acceptance.Join(t, url, "aki"), acceptance.Join(t, url, "ben")
	g, err := aki.CreateGroup(t.Context(), "two", ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	aki.SendMessage(g.ID, "seen?")
	acceptance.Await(aki, "message", acceptance.IsBody("seen?"))
	sync := func(cursor string) wire.Synced {
		aki.Send(wire.Sync{T: "sync", ID: "s", Cursor: cursor})
		return acceptance.Await[wire.Synced](aki, "synced", nil)
	}
	// The device does not look at the frames of marks: they are lost.
	whole := sync("")
	ping := func() {
		aki.Send(wire.Ping{T: "ping", Cursor: whole.Cursor})
		<-time.After(60 * time.Millisecond) // pings that follow each other faster are not answered
	}
	for range 5 { // of which some are checked
		ping()
	}
	if len(acceptance.Frames(aki, "resync")) > 0 {
		t.Error("the device is asked to sync, and nothing has changed")
	}
	ben.Send(wire.Mark{T: "mark", Conversation: g.ID, Read: 1})
	acceptance.Await[wire.MarkFrame](ben, "mark", nil)
	eventually.True(t, "the device is asked to sync", func() bool {
		ping()
		return len(acceptance.Frames(aki, "resync")) > 0
	})
	if found := sync(whole.Cursor); len(found.Conversations) != 1 || found.Conversations[0].OthersRead != 1 {
		t.Errorf("%+v", found.Conversations)
	}
}

func TestTheFirstAccountAdministers(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki, ben := acceptance.Register(t, url, "aki"), acceptance.Register(t, url, "ben")
	if !aki.Me().Admin || ben.Me().Admin {
		t.Error("the first account alone administers")
	}
}

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
			rejected := false
			var wait time.Duration
			aki.AwaitAnswer(ids[i], func(r *wire.Rejected) {
				rejected, wait = true, time.Duration(r.RetryAfterMS)*time.Millisecond
				if r.RetryAfterMS <= 0 || (r.Code != "rate_limited" && r.Code != "order") {
					t.Errorf("message %d: %+v", i, r)
				}
			})
			if !rejected {
				break
			}
			time.Sleep(wait)
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

func TestTheFirstAccountAdministers(t *testing.T) {
	url := start(t, testConfig(t)).URL()
	aki, ben := acceptance.Register(t, url, "aki"), acceptance.Register(t, url, "ben")
	if !aki.Me().Admin || ben.Me().Admin {
		t.Error("the first account alone administers")
	}
}

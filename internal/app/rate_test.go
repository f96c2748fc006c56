package app_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// The rate limit of a user's messages is one for all connections and the REST API
// together.
func TestRateLimitIsSharedByWebSocketAndREST(t *testing.T) {
	t.Parallel()
	const perSecond, burst = 0.01, 10
	cfg := testConfig(t)
	cfg.Gateway.PerSecond, cfg.Gateway.Burst = perSecond, burst
	url := start(t, cfg).URL()
	started := time.Now()
	aki := acceptance.Join(t, url, "aki")
	laptop := acceptance.Connect(t, aki.Client)
	group, err := aki.CreateGroup(t.Context(), "Notes")
	if err != nil {
		t.Fatal(err)
	}
	byWebSocket := func(u *acceptance.User) (accepted bool) {
		accepted = true
		u.AwaitAnswer(u.SendMessage(group.ID, "by WebSocket"), func(r *wire.Rejected) {
			accepted = false
			if r.RetryAfterMS <= 0 || (r.Code != "rate_limited" && r.Code != "order") {
				t.Errorf("refused with %+v", r)
			}
		})
		return accepted
	}
	byREST := func() (accepted bool) {
		path := fmt.Sprintf("/conversations/%s/messages", group.ID)
		err := aki.Do(t.Context(), http.MethodPost, path, map[string]any{"id": client.NewClientID(), "body": "by REST"}, nil)
		if err != nil && acceptance.ProblemCode(err) != "rate_limited" {
			t.Errorf("refused with %v", err)
		}
		return err == nil
	}
	var accepted [3]int
	for range burst {
		for i, send := range []func() bool{
			func() bool { return byWebSocket(aki) }, func() bool { return byWebSocket(laptop) }, byREST,
		} {
			if send() {
				accepted[i]++
			}
		}
	}
	if accepted[0] == 0 || accepted[1] == 0 || accepted[2] == 0 {
		t.Errorf("one way accepted nothing: %v", accepted)
	}
	total, most := accepted[0]+accepted[1]+accepted[2], burst+int(time.Since(started).Seconds()*perSecond)
	if total < burst || total > most {
		t.Errorf("two connections and the REST API accepted %v messages, together %d; the limit is %d", accepted, total, most)
	}
	// A new connection has the same limit.
	if tablet := acceptance.Connect(t, aki.Client); byWebSocket(tablet) && time.Since(started).Seconds() < 1/perSecond {
		t.Error("a new connection accepts a message")
	}
}

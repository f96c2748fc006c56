package hikyaku_test

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/hikyaku"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
)

// A real installation, in pairs, in a group and in a channel: every message is
// heard, stored, and accounted for. One that sends too fast is refused.
func TestTalk(t *testing.T) {
	a, err := app.Start(t.Context(), app.Config{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Registration: "open", Drain: 10 * time.Second, Version: "1.2.3",
		Hash: app.HashConfig{MemoryKiB: 64, AtOnce: 8}, Push: app.PushConfig{Contact: "mailto:nobody@example.org", Delay: time.Second},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Gateway: gateway.Config{
			PerSecond: 10, Burst: 10, InFlight: 1000, Heartbeat: time.Second, Idle: time.Minute, AwayGrace: time.Second,
			PerUser: 50, GoodbyeSpread: time.Second,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	system, err := hikyaku.New(a.URL(), hikyaku.Options{
		Gateways: []string{a.URL(), a.URL() + "/"}, Sources: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	everybody := make([]int, 110) // more than a group is made with
	for i := range everybody {
		everybody[i] = i
	}
	crowd, err := load.Gather(t.Context(), system, target.Plan{
		Run: "test", People: len(everybody), Rooms: [][]int{{0, 1}, {2, 3, 4}, everybody},
	}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	if crowd.Version() != "1.2.3" {
		t.Errorf("the version is %q", crowd.Version())
	}
	slow, err := crowd.Talk(t.Context(), load.Stretch{Rate: 300, Length: time.Second, Drain: time.Minute})
	if err != nil || slow.Accepted != 300 || slow.Refused != 0 || slow.Missing != 0 || slow.Latency.P50 <= 0 {
		t.Errorf("%+v, %v", slow, err)
	}
	fast, err := crowd.Talk(t.Context(), load.Stretch{Rate: 20_000, Length: 200 * time.Millisecond, Drain: time.Minute})
	if err != nil || fast.Refused == 0 || fast.Accepted+fast.Refused != 4000 {
		t.Errorf("%d accepted, %d refused, %v", fast.Accepted, fast.Refused, err)
	}
	v, err := crowd.Check(t.Context())
	if err != nil || !v.Kept() || v.Accepted != slow.Accepted+fast.Accepted || v.Unanswered != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAddressIsChecked(t *testing.T) {
	if _, err := hikyaku.New("localhost", hikyaku.Options{}); err == nil {
		t.Error("an address without a scheme was taken")
	}
	_, err := hikyaku.New("http://127.0.0.1", hikyaku.Options{Gateways: []string{"http://127.0.0.1:1", "localhost"}})
	if err == nil || !strings.Contains(err.Error(), "--gateway") {
		t.Errorf("a gateway without a scheme: %v", err)
	}
}

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
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/hikyaku"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
)

// setupToken makes the first account of the server under test.
const setupToken = "the-operator-of-this-test"

// installation is a real one without any account, that takes so many messages a
// second of one user.
func installation(t *testing.T, perSecond float64, burst int) (url string) {
	t.Helper()
	a, err := app.Start(t.Context(), app.Config{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Registration: "open", Registrations: 100_000, SetupToken: setupToken, Drain: 10 * time.Second, Version: "1.2.3",
		Hash: password.Config{MemoryKiB: 64, Concurrency: 8}.WithDefaults(), Push: app.PushConfig{Contact: "mailto:nobody@example.org", Delay: time.Second},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Gateway: gateway.Config{
			PerSecond: perSecond, Burst: burst, InFlight: 1000, Heartbeat: time.Second, IdleTimeout: time.Minute, AwayGrace: time.Second,
			ConnectionsPerUser: 50, GoodbyeSpread: time.Second,
		}.WithDefaults(),
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
	return a.URL()
}

// register makes an account.
func register(t *testing.T, url, name string) *client.Client {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), name, "correct horse battery", setupToken); err != nil {
		t.Fatal(err)
	}
	return c
}

// perSecond is so little that what one may send at once is all that one may
// send, however long a run takes.
const perSecond = 0.001

// A real installation, in pairs, in a group and in a large one: every message is
// heard, stored, and accounted for. One that sends too much is refused. It is
// so however the people came to be.
func TestTalk(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	t.Run("the first account", func(t *testing.T) {
		url := installation(t, perSecond, 8)
		talk(t, url, "", true)
		// Only the first account administers the installation.
		if c, err := client.New(url); err != nil || c.Register(t.Context(), "bench-test", "correct horse battery", "") == nil {
			t.Error("the first account is not named after the run")
		}
	})
	t.Run("an administrator's token", func(t *testing.T) {
		url := installation(t, perSecond, 8)
		admin := register(t, url, "boss")
		talk(t, url, admin.Token(), false)
		batches, err := admin.Batches(t.Context())
		if err != nil || len(batches) != 1 || batches[0].Name != "bench-test" || batches[0].Accounts != 110 {
			t.Errorf("%+v, %v", batches, err)
		}
		sum, err := admin.RemoveBatch(t.Context(), "bench-test", nil)
		if err != nil || sum.Accounts != 110 || sum.Conversations != 3 || sum.Messages != 300 {
			t.Errorf("%+v, %v", sum, err)
		}
	})
	t.Run("registration", func(t *testing.T) {
		url := installation(t, perSecond, 8)
		admin := register(t, url, "boss")
		talk(t, url, "", false)
		if batches, err := admin.Batches(t.Context()); err != nil || len(batches) != 0 {
			t.Errorf("%+v, %v", batches, err)
		}
	})
}

func TestTokenOfAnother(t *testing.T) {
	url := installation(t, 10, 10)
	register(t, url, "boss")
	for token, says := range map[string]string{register(t, url, "member").Token(): "only an administrator", "nothing": "log in"} {
		system, err := hikyaku.New(url, hikyaku.Options{AdminToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := system.Prepare(t.Context(), target.Plan{Run: "test", Users: 2}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v", err)
		}
	}
}

func talk(t *testing.T, url, token string, tooMuch bool) {
	t.Helper()
	system, err := hikyaku.New(url, hikyaku.Options{
		AdminToken: token, SetupToken: setupToken, Gateways: []string{url, url + "/"}, Sources: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	everybody := make([]int, 110) // more than a group is created with
	for i := range everybody {
		everybody[i] = i
	}
	users, err := load.Prepare(t.Context(), system, target.Plan{
		Run: "test", Users: len(everybody), Rooms: [][]int{{0, 1}, {2, 3, 4}, everybody},
	}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	if _, err := users.Connect(t.Context(), load.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	if users.Version() != "1.2.3" {
		t.Errorf("the version is %q", users.Version())
	}
	slow, err := users.RunPhase(t.Context(), load.Phase{Rate: 300, Duration: time.Second, Drain: time.Minute})
	if err != nil || slow.Accepted != 300 || slow.Refused != 0 || slow.Missing != 0 || slow.Latency.P50 <= 0 {
		t.Errorf("%+v, %v", slow, err)
	}
	accepted := slow.Accepted
	if tooMuch {
		fast, err := users.RunPhase(t.Context(), load.Phase{Rate: 20_000, Duration: 100 * time.Millisecond, Drain: time.Minute})
		if err != nil || fast.Accepted == 0 || fast.Refused == 0 || fast.Accepted+fast.Refused != 2000 {
			t.Errorf("%d accepted, %d refused, %v", fast.Accepted, fast.Refused, err)
		}
		accepted += fast.Accepted
	}
	v, err := users.Check(t.Context())
	if err != nil || !v.Passed() || v.Accepted != accepted || v.Unanswered != 0 {
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

func measure(t *testing.T, what interface {
	Run(ctx context.Context, r *scenario.Run) error
},
) *report.Report {
	t.Helper()
	system, err := hikyaku.New(installation(t, 1000, 1000), hikyaku.Options{SetupToken: setupToken})
	if err != nil {
		t.Fatal(err)
	}
	r := report.New("test", system.Name(), "test")
	if err := what.Run(t.Context(), &scenario.Run{Name: "test", Target: system, Report: r}); err != nil {
		t.Fatal(err)
	}
	if !r.Passed() {
		t.Errorf("%+v", r.Verdict)
	}
	return r
}

// Who comes back after a loss has what was said meanwhile, once, more than fits
// a page.
func TestReconnect(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	r := measure(t, &scenario.Reconnect{Users: 4, Rate: 200, Offset: 3 * time.Second, Spread: time.Second, Concurrency: 4})
	if b := r.Return; b.Returned != 4 || b.Missed != 600 || b.Synced.Max < b.Synced.P50 {
		t.Errorf("%+v", b)
	}
}

func TestSoak(t *testing.T) {
	stacktest.SkipIfShort(t)
	t.Parallel()
	r := measure(t, &scenario.Soak{
		Users: 20, Rate: 100, ActionRate: 50, DisconnectRate: 10, Duration: 4 * time.Second, Window: 2 * time.Second, MaxActions: 10, ActionTimeout: time.Minute,
	})
	if len(r.Acts) != 6 {
		t.Errorf("%+v", r.Acts)
	}
	for _, a := range r.Acts {
		if a.Done == 0 || a.Failed > 0 {
			t.Errorf("%+v", a)
		}
	}
}

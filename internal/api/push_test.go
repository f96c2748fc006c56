package api_test

import (
	"net/http"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
)

func startPush(t *testing.T, allowPrivate bool) *fixture {
	t.Helper()
	keys, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	sender, err := webpush.New(webpush.Config{Keys: keys, Contact: "mailto:admin@example.org", AllowPrivate: allowPrivate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	f := startWith(t, api.Config{Registration: api.Open, Push: sender})
	if got := f.register("first").ok("GET", "/push", nil); len(got) != 1 || got["public_key"] != keys.Public {
		t.Errorf("%v", got)
	}
	return f
}

func asObject(s webpush.Subscription) object {
	return object{"endpoint": s.Endpoint, "keys": object{"p256dh": s.P256DH, "auth": s.Auth}}
}

func (f *fixture) subscriptions(c *client) []store.Subscription {
	f.t.Helper()
	var user chat.UserID
	if err := user.UnmarshalText([]byte(c.id)); err != nil {
		f.t.Fatal(err)
	}
	all, err := f.store.Subscriptions(f.t.Context(), []chat.UserID{user})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

func TestPush(t *testing.T) {
	f := startPush(t, true)
	aki, ben := f.register("aki"), f.register("ben")
	s, _ := webpushtest.New(t).Subscribe()
	nobody := &client{fixture: f}
	nobody.refused("GET", "/push", nil, 401, "unauthenticated", "")
	nobody.refused("PUT", "/push/subscription", asObject(s), 401, "unauthenticated", "")
	nobody.refused("DELETE", "/push/subscription", object{"endpoint": s.Endpoint}, 401, "unauthenticated", "")

	for range 2 {
		if resp, _ := aki.request("PUT", "/api/v1/push/subscription", asObject(s), nil); resp.status != http.StatusNoContent {
			t.Errorf("status %d", resp.status)
		}
	}
	got := f.subscriptions(aki)
	if len(got) != 1 || got[0].Endpoint != s.Endpoint || got[0].P256DH != s.P256DH || got[0].Auth != s.Auth {
		t.Errorf("%+v", got)
	}
	// Of another user it is passed over; of the own it goes, and again.
	for _, c := range []*client{ben, aki, aki} {
		if resp, _ := c.request("DELETE", "/api/v1/push/subscription", object{"endpoint": s.Endpoint}, nil); resp.status != http.StatusNoContent {
			t.Errorf("status %d", resp.status)
		}
		if left := len(f.subscriptions(aki)); (left == 1) != (c == ben) {
			t.Errorf("%d left", left)
		}
	}
	aki.ok("PUT", "/push/subscription", asObject(s))
	ben.ok("PUT", "/push/subscription", asObject(s))
	if a, b := len(f.subscriptions(aki)), len(f.subscriptions(ben)); a != 0 || b != 1 {
		t.Errorf("aki has %d, ben %d", a, b)
	}
	ben.ok("POST", "/logout", nil)
	if n := len(f.subscriptions(ben)); n != 0 {
		t.Errorf("%d outlive the session", n)
	}
	// Pages of other sites cannot use a visitor's cookie.
	resp, out := aki.request("PUT", "/api/v1/push/subscription", asObject(s), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if resp.status != http.StatusForbidden || out["code"] != "origin_refused" {
		t.Errorf("%d %v", resp.status, out)
	}
}

func TestPushRefuses(t *testing.T) {
	f := startPush(t, false)
	aki := f.register("aki")
	good, _ := webpushtest.New(t).Subscribe()
	good.Endpoint = "https://push.example.org/device"
	aki.ok("PUT", "/push/subscription", asObject(good))
	with := func(change func(*webpush.Subscription)) object {
		s := good
		change(&s)
		return asObject(s)
	}
	for _, tt := range []struct {
		body  object
		field string
	}{
		{with(func(s *webpush.Subscription) { s.Endpoint = "http://push.example.org/device" }), "endpoint"},
		{with(func(s *webpush.Subscription) { s.Endpoint = "https://169.254.169.254/latest" }), "endpoint"},
		{with(func(s *webpush.Subscription) { s.Endpoint = "https://push.example.org:8443/device" }), "endpoint"},
		{with(func(s *webpush.Subscription) { s.P256DH = "" }), "p256dh"},
		{with(func(s *webpush.Subscription) { s.Auth = s.P256DH[:22] + "==" }), "auth"},
		{object{"endpoint": good.Endpoint}, ""},
		{object{}, ""},
	} {
		aki.refused("PUT", "/push/subscription", tt.body, 400, "invalid", tt.field)
	}
	aki.refused("DELETE", "/push/subscription", object{}, 400, "invalid", "")
	if n := len(f.subscriptions(aki)); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
}

func TestNoPush(t *testing.T) {
	f := start(t, api.Open)
	aki := f.register("aki")
	aki.refused("GET", "/push", nil, 404, "not_found", "")
	aki.refused("PUT", "/push/subscription", object{"endpoint": "https://push.example.org/a", "keys": object{"p256dh": "a", "auth": "b"}}, 404, "not_found", "")
	aki.refused("DELETE", "/push/subscription", object{"endpoint": "https://push.example.org/a"}, 404, "not_found", "")
}

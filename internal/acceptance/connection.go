package acceptance

import (
	"net/http"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// hello tells a device what it needs to know of its connection.
func hello(t *testing.T, url string) {
	aki := join(t, url, "aki")
	again := Connect(t, aki.Client)
	h := aki.Socket.Hello
	l := h.Limits
	if h.User != aki.Me() || h.Session == 0 || h.Epoch == "" || h.Server == "" || h.Time == 0 ||
		min(l.FrameBytes, l.BodyBytes, l.InFlight, l.Burst, l.WatchUsers) <= 0 || min(l.HeartbeatMS, l.IdleMS) <= 0 || l.PerSecond <= 0 {
		t.Errorf("%+v", h)
	}
	if other := again.Socket.Hello; other.Epoch != h.Epoch || other.Session != h.Session {
		t.Errorf("%+v, then %+v", h, other)
	}
}

// A request for a socket is refused as a request of the REST API is.
func refusedUpgrades(t *testing.T, url string) {
	aki := join(t, url, "aki")
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	with := func(more ...string) []string { return append(upgrade[:len(upgrade):len(upgrade)], more...) }
	subprotocol := with("Sec-WebSocket-Protocol", wire.Subprotocol)
	for _, tt := range []struct {
		what, token string
		header      []string
		status      int
		code        string
	}{
		{"no session", "", subprotocol, http.StatusUnauthorized, "unauthenticated"},
		{"an ended session", "hky_nothing", subprotocol, http.StatusUnauthorized, "unauthenticated"},
		{"a page of another site", aki.Token(), append(subprotocol[:len(subprotocol):len(subprotocol)], "Origin", "https://other.example"), http.StatusForbidden, "origin_refused"},
		{"no WebSocket", aki.Token(), nil, http.StatusUpgradeRequired, "invalid"},
		{"no subprotocol", aki.Token(), upgrade, http.StatusBadRequest, "invalid"},
		{"another subprotocol", aki.Token(), with("Sec-WebSocket-Protocol", "hikyaku.v0"), http.StatusBadRequest, "invalid"},
	} {
		a := request(t, url, tt.token, http.MethodGet, "/socket", "", tt.header...)
		var p struct{ Code, Detail string }
		a.into(t, &p)
		if a.status != tt.status || p.Code != tt.code || p.Detail == "" {
			t.Errorf("%s: %d %s, want %d %s", tt.what, a.status, a.body, tt.status, tt.code)
		}
	}
	// A page that was refused can ask why.
	if a := request(t, url, "", http.MethodOptions, "/socket", "", "Origin", url); a.status != http.StatusNoContent {
		t.Errorf("asked by the page: %d %s", a.status, a.body)
	}
	var p struct{ Code string }
	a := request(t, url, "", http.MethodOptions, "/socket", "", "Origin", "https://other.example")
	if a.into(t, &p); a.status != http.StatusForbidden || p.Code != "origin_refused" {
		t.Errorf("asked by a page of another site: %d %s", a.status, a.body)
	}
}

// Every frame that must be answered is, under its id, also what the server cannot
// do.
func answersUnderTheirIDs(t *testing.T, url string) {
	aki := join(t, url, "aki")
	for _, tt := range []struct{ in, id, code string }{
		{`{"t":"sync","id":"a","conversation":"12345"}`, "a", "not_found"},
		{`{"t":"sync","id":"b","rev":-1}`, "b", "malformed"},
		{`{"t":"send","id":"c","conversation":"1","body":"x"}`, "c", "malformed"},
		{`{"t":"withdraw","id":"d"}`, "d", "malformed"},
	} {
		if err := aki.Socket.SendRaw([]byte(tt.in)); err != nil {
			t.Fatal(err)
		}
		if e := Await[wire.ErrorFrame](aki, "error", nil); e.ID != tt.id || e.Code != tt.code || e.Text == "" {
			t.Errorf("%s: %+v", tt.in, e)
		}
	}
	// A withdrawal is answered, also when nothing waited.
	if err := aki.Socket.SendRaw([]byte(`{"t":"withdraw","id":"01939d2e-7c00-7abc-8def-0123456789ab"}`)); err != nil {
		t.Fatal(err)
	}
	if w := Await[wire.Withdrawn](aki, "withdrawn", nil); w.ID.String() != "01939d2e-7c00-7abc-8def-0123456789ab" {
		t.Errorf("%+v", w)
	}
}

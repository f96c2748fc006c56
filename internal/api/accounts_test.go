package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

func TestAccounts(t *testing.T) {
	f := start(t, api.Open)
	nobody := &client{fixture: f}
	if in := nobody.ok("GET", "/installation", nil); in["first_account"] != true || in["registration"] != "open" {
		t.Errorf("%v", in)
	}
	aki := f.register("Aki")
	me := aki.ok("GET", "/me", nil)["user"].(map[string]any)
	if me["name"] != "aki" || me["display_name"] != "Aki" || me["admin"] != true {
		t.Errorf("%v", me)
	}
	for _, tt := range []struct {
		body        object
		status      int
		code, field string
	}{
		{object{"name": "AKI", "password": "correct horse"}, 409, "name_taken", "name"},
		{object{"name": "\u0430ki", "password": "correct horse"}, 409, "name_taken", "name"}, // Cyrillic а
		{object{"name": "ak\u00ed", "password": "correct horse"}, 409, "name_taken", "name"},
		{object{"name": "syst\u00e9m", "password": "correct horse"}, 409, "name_taken", "name"}, // reserved
		{object{"name": "", "password": "correct horse"}, 400, "invalid", "name"},
		{object{"name": strings.Repeat("a", 33), "password": "correct horse"}, 413, "too_large", "name"},
		{object{"name": "ben", "password": "too short"}, 400, "invalid", "password"},
		{object{"name": "ben", "password": "password 123"}, 422, "weak_password", "password"},
		{object{"name": "ben"}, 400, "invalid", ""},
		{object{"name": "ben", "password": 7}, 400, "invalid", "password"},
		{object{"name": "ben", "password": "correct horse", "colour": "red"}, 400, "invalid", "colour"},
	} {
		p := nobody.refused("POST", "/register", tt.body, tt.status, tt.code, tt.field)
		if strings.Contains(fmt.Sprint(p), "correct h") {
			t.Errorf("the password is repeated: %v", p)
		}
	}
	unknown := nobody.refused("POST", "/login", object{"name": "nobody", "password": "correct horse"}, 401, "unauthenticated", "")
	wrong := nobody.refused("POST", "/login", object{"name": "aki", "password": "wrong horse"}, 401, "unauthenticated", "")
	if unknown["detail"] != wrong["detail"] {
		t.Errorf("%v tells more than %v", wrong, unknown)
	}
	nobody.refused("GET", "/me", nil, 401, "unauthenticated", "")
	aki.refused("PUT", "/me/password", object{"old": "wrong one", "new": "battery staple"}, 403, "forbidden", "old")
	other := nobody.ok("POST", "/login", object{"name": "ａｋｉ", "password": "correct horse", "device": "phone"})
	if n := len(list(aki.ok("GET", "/sessions", nil))); n != 2 {
		t.Errorf("%d sessions", n)
	}
	aki.refused("PUT", "/me/password", object{"old": "correct horse", "new": "correct horse"}, 409, "conflict", "password")
	aki.refused("PUT", "/me/password", object{"old": "correct horse", "new": "aki aki aki"}, 422, "weak_password", "password")
	aki.ok("PUT", "/me/password", object{"old": "correct horse", "new": "battery staple"})
	if got := f.announced.take(); got != "ended 1" {
		t.Errorf("announced %q", got)
	}
	(&client{fixture: f, token: other["token"].(string)}).refused("GET", "/me", nil, 401, "unauthenticated", "")
	aki.ok("PATCH", "/me", object{"display_name": "Aki A."})
	aki.ok("POST", "/logout", nil)
	aki.refused("GET", "/me", nil, 401, "unauthenticated", "")
}

func TestCookie(t *testing.T) {
	f := start(t, api.Open)
	nobody := &client{fixture: f}
	resp, out := nobody.request("POST", "/api/v1/register", object{"name": "aki", "password": "correct horse", "cookie": true, "invitation": setupToken}, func(r *http.Request) {
		r.Header.Set("X-Forwarded-Proto", "https")
	})
	c := resp.cookies[0]
	if c.Name != "__Host-hikyaku_session" || out["token"] != nil || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("%v, %+v", out, c)
	}
	with := func(site string) func(*http.Request) {
		return func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
			r.Header.Set("X-Forwarded-Proto", "https")
			r.Header.Set("Sec-Fetch-Site", site)
		}
	}
	if resp, _ := nobody.request("GET", "/api/v1/me", nil, with("same-origin")); resp.status != http.StatusOK {
		t.Errorf("the cookie gives %d", resp.status)
	}
	resp, out = nobody.request("POST", "/api/v1/logout", nil, with("cross-site"))
	if resp.status != http.StatusForbidden || out["code"] != "origin_refused" {
		t.Errorf("a page of another site: %d %v", resp.status, out)
	}
	// Who logs in over it ends it: nobody has its token any more.
	resp, _ = nobody.request("POST", "/api/v1/login", object{"name": "aki", "password": "correct horse", "cookie": true}, with("same-origin"))
	if resp.status != http.StatusOK {
		t.Fatalf("log in again: %d", resp.status)
	}
	if resp, _ := nobody.request("GET", "/api/v1/me", nil, with("same-origin")); resp.status != http.StatusUnauthorized {
		t.Errorf("the cookie that was replaced gives %d", resp.status)
	}
	c = resp.cookies[0]
	if resp, _ := nobody.request("GET", "/api/v1/me", nil, with("same-origin")); resp.status != http.StatusOK {
		t.Errorf("the new cookie gives %d", resp.status)
	}
}

// Of an account a hundred devices are logged in, those that were used last, and
// programs besides.
func TestSessionsAreBounded(t *testing.T) {
	f := start(t, api.Open)
	aki := f.register("aki")
	user, err := strconv.ParseInt(aki.id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	made := time.Now().Add(-300 * time.Hour)
	for i := range 120 {
		_, hash := auth.NewToken()
		device, seen := "never used", made
		if i%2 == 0 {
			device, seen = "used", made.Add(time.Duration(i+1)*time.Hour)
		}
		if _, err := f.store.CreateSession(t.Context(), store.Session{
			User: chat.UserID(user), Token: hash, Device: device, CreatedAt: made, SeenAt: seen, ExpiresAt: time.Now().Add(time.Hour),
		}); err != nil {
			t.Fatal(err)
		}
	}
	_, hash := auth.NewToken()
	if _, err := f.store.CreateSession(t.Context(), store.Session{
		User: chat.UserID(user), Token: hash, Device: "program", CreatedAt: made, SeenAt: made, ExpiresAt: made.Add(400 * 24 * time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	(&client{fixture: f}).ok("POST", "/login", object{"name": "aki", "password": "correct horse"})
	left := map[string]int{}
	for _, s := range list(aki.ok("GET", "/sessions", nil)) {
		left[s.(map[string]any)["device"].(string)]++
	}
	if left["used"] != 60 || left["never used"] != 38 || left["program"] != 1 {
		t.Errorf("%v", left)
	}
	if got := f.announced.take(); got != "ended 22" {
		t.Errorf("announced %q", got)
	}
}

func TestRegistrationModes(t *testing.T) {
	f := start(t, api.ByInvitation)
	aki := f.register("aki")
	nobody := &client{fixture: f}
	nobody.refused("POST", "/register", object{"name": "ben", "password": "correct horse"}, 403, "forbidden", "invitation")
	nobody.refused("POST", "/register", object{"name": "ben", "password": "correct horse", "invitation": "hky_guess"}, 403, "forbidden", "")
	i := aki.ok("POST", "/invitations", object{"max_uses": 1})
	ben := nobody.ok("POST", "/register", object{"name": "ben", "password": "correct horse", "invitation": i["token"]})
	nobody.refused("POST", "/register", object{"name": "cem", "password": "correct horse", "invitation": i["token"]}, 403, "forbidden", "")
	(&client{fixture: f, token: ben["token"].(string)}).refused("POST", "/invitations", object{}, 403, "forbidden", "")

	closed := start(t, api.Closed)
	closed.register("aki")
	(&client{fixture: closed}).refused("POST", "/register", object{"name": "ben", "password": "correct horse"}, 403, "forbidden", "registration")
}

// Whoever comes first is nobody in particular: the first account, which administers the
// installation, is made with the setup token, and with that alone.
func TestFirstAccount(t *testing.T) {
	for _, mode := range []api.Registration{api.Open, api.ByInvitation, api.Closed} {
		f := start(t, mode)
		nobody := &client{fixture: f}
		for _, guess := range []string{"", "hky_guess", setupToken[1:], setupToken + "x"} {
			nobody.refused("POST", "/register", object{"name": "eve", "password": "correct horse", "invitation": guess}, 403, "forbidden", "setup")
		}
		if n := f.hashed.n.Load(); n != 0 {
			t.Errorf("%s: %d passwords were hashed for nothing", mode, n)
		}
		g := nobody.ok("POST", "/register", object{"name": "aki", "password": "correct horse", "invitation": setupToken})
		if g["user"].(map[string]any)["admin"] != true {
			t.Errorf("%s: %v", mode, g["user"])
		}
		// It is of no use afterwards.
		if mode == api.Open {
			g := nobody.ok("POST", "/register", object{"name": "eve", "password": "correct horse", "invitation": setupToken})
			if g["user"].(map[string]any)["admin"] == true {
				t.Errorf("a second administrator: %v", g["user"])
			}
			continue
		}
		nobody.refused("POST", "/register", object{"name": "eve", "password": "correct horse", "invitation": setupToken}, 403, "forbidden", "")
	}
}

// A password is hashed only for who gets the account.
func TestRefusedRegistrationsCostLittle(t *testing.T) {
	f := start(t, api.ByInvitation)
	aki := f.register("aki")
	invitation := aki.ok("POST", "/invitations", object{})["token"]
	nobody := &client{fixture: f}
	before := f.hashed.n.Load()
	for _, tt := range []struct {
		body   object
		status int
		code   string
	}{
		{object{"name": "ben", "password": "correct horse"}, 403, "forbidden"},
		{object{"name": "ben", "password": "correct horse", "invitation": "hky_guess"}, 403, "forbidden"},
		{object{"name": "aki", "password": "correct horse", "invitation": invitation}, 409, "name_taken"},
		{object{"name": "\u0430ki", "password": "correct horse", "invitation": invitation}, 409, "name_taken"},
		{object{"name": "b", "password": "correct horse", "invitation": invitation}, 400, "invalid"},
		{object{"name": "ben", "password": "1234567890", "invitation": invitation}, 422, "weak_password"},
	} {
		nobody.refused("POST", "/register", tt.body, tt.status, tt.code, "")
	}
	if n := f.hashed.n.Load() - before; n != 0 {
		t.Errorf("%d passwords were hashed for nothing", n)
	}
	nobody.ok("POST", "/register", object{"name": "ben", "password": "correct horse", "invitation": invitation})
}

// One network makes so many accounts, whatever becomes of them; others are not
// concerned, nor is who logs in.
func TestRegistrationIsLimited(t *testing.T) {
	three, err := throttle.NewLimiter(0.001, 3)
	if err != nil {
		t.Fatal(err)
	}
	f := startWith(t, api.Config{Registration: api.Open, Registering: three})
	nobody := &client{fixture: f}
	register := func(peer, name string) int {
		return nobody.status(peer, "POST", "/register", object{"name": name, "password": "correct horse", "invitation": setupToken})
	}
	for i, want := range []int{http.StatusCreated, http.StatusConflict, http.StatusCreated, http.StatusTooManyRequests} {
		if got := register(fmt.Sprintf("[2001:db8::%x]:999", i), []string{"aki", "aki", "ben", "cem"}[i]); got != want {
			t.Errorf("registration %d: %d, want %d", i, got, want)
		}
	}
	hashed := f.hashed.n.Load()
	if got := register("[2001:db8::1]:999", "cem"); got != http.StatusTooManyRequests || f.hashed.n.Load() != hashed {
		t.Errorf("beyond the limit: %d, %d hashed", got, f.hashed.n.Load()-hashed)
	}
	if got := nobody.status("[2001:db8::1]:999", "POST", "/login", object{"name": "aki", "password": "correct horse"}); got != http.StatusOK {
		t.Errorf("a log-in from there: %d", got)
	}
	if got := register("[2001:db8:0:1::1]:999", "cem"); got != http.StatusCreated {
		t.Errorf("from another network: %d", got)
	}
}

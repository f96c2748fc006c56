package auth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// singleSessionStore is a store with one session.
type singleSessionStore struct{ store.Session }

func (o *singleSessionStore) SessionByToken(context.Context, []byte, time.Time) (store.Session, chat.User, error) {
	return o.Session, chat.User{}, nil
}

func (o *singleSessionStore) TouchSession(_ context.Context, _ chat.SessionID, seen, expires time.Time) error {
	o.SeenAt, o.ExpiresAt = seen, expires
	return nil
}

// A request that says for which account it is meant is refused to every other one,
// and is no use of the session.
func TestNamedAccount(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		headers []string
		query   string
		code    chat.Code
	}{
		{nil, "", ""},
		{nil, "?q=%zz", ""},
		{[]string{"7"}, "", ""},
		{nil, "?account=7", ""},
		{[]string{"7"}, "?account=7", ""},
		{[]string{"7"}, "?account=8", chat.CodeOtherAccount},
		{[]string{"8"}, "", chat.CodeOtherAccount},
		{[]string{"07"}, "", chat.CodeOtherAccount},
		{[]string{""}, "", chat.CodeOtherAccount},
		{[]string{"7", "8"}, "", chat.CodeOtherAccount},
		{nil, "?account=8", chat.CodeOtherAccount},
		{nil, "?account=", chat.CodeOtherAccount},
		{nil, "?account=7&account=8", chat.CodeOtherAccount},
		{nil, "?account=7;account=8", chat.CodeOtherAccount},
		{nil, "?account=%zz", chat.CodeOtherAccount},
	} {
		st := &singleSessionStore{store.Session{SeenAt: now.Add(-time.Hour), ExpiresAt: now.Add(time.Hour)}}
		a := auth.NewAuthenticator(auth.Config{Store: namedUserStore{st, 7}, Now: func() time.Time { return now }})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+tt.query, http.NoBody)
		r.AddCookie(auth.Cookie("token", "/", false))
		for _, named := range tt.headers {
			r.Header.Add(auth.AccountHeader, named)
		}
		_, _, err := a.Authenticate(r)
		if chat.CodeOf(err) != tt.code || (err == nil) != (tt.code == "") {
			t.Errorf("%+v: %v", tt, err)
		}
		if used := st.SeenAt.Equal(now); used != (tt.code == "") {
			t.Errorf("%+v: used %t", tt, used)
		}
	}
}

// namedUserStore is a store with one session, of the user with an id.
type namedUserStore struct {
	*singleSessionStore
	user chat.UserID
}

func (o namedUserStore) SessionByToken(context.Context, []byte, time.Time) (store.Session, chat.User, error) {
	return o.Session, chat.User{ID: o.user}, nil
}

// A session is extended by the lifetime that it was created with, from its use.
func TestUseExtendsTheSession(t *testing.T) {
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, lifetime := range []time.Duration{auth.Lifetime, 24 * time.Hour} {
		st := &singleSessionStore{store.Session{CreatedAt: start, SeenAt: start, ExpiresAt: start.Add(lifetime)}}
		now := start
		a := auth.NewAuthenticator(auth.Config{Store: st, Now: func() time.Time { return now }})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", "Bearer token")
		for range 3 {
			now = now.Add(time.Hour)
			if _, _, err := a.Authenticate(r); err != nil {
				t.Fatal(err)
			}
		}
		if want := start.Add(3*time.Hour + lifetime); !st.ExpiresAt.Equal(want) {
			t.Errorf("a session of %s ends at %s, want %s", lifetime, st.ExpiresAt, want)
		}
	}
}

// Use does not keep a session alive for ever. A program's session has the end that it
// was created with, from its last use.
func TestSessionsEnd(t *testing.T) {
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		lifetime time.Duration
		days     int // after which it has ended, though it is used each day; 0 for never
	}{
		"a device":             {auth.Lifetime, 180},
		"a program":            {90 * 24 * time.Hour, 0},
		"a program, for a day": {25 * time.Hour, 180},
	} {
		st := &singleSessionStore{store.Session{CreatedAt: start, SeenAt: start, ExpiresAt: start.Add(tt.lifetime)}}
		now := start
		a := auth.NewAuthenticator(auth.Config{Store: st, Now: func() time.Time { return now }})
		ended := 0
		for day := 1; day <= 400 && ended == 0; day++ {
			now = start.Add(time.Duration(day) * 24 * time.Hour)
			if !st.ExpiresAt.After(now) {
				ended = day
				continue
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			r.AddCookie(auth.Cookie("token", "/", false))
			if _, _, err := a.Authenticate(r); err != nil {
				t.Fatal(err)
			}
		}
		if ended != tt.days {
			t.Errorf("%s: ended after %d days, want %d", name, ended, tt.days)
		}
	}
}

// Over HTTPS only a cookie counts that no other host of the domain can have set.
func TestCookiePrefixes(t *testing.T) {
	for _, tt := range []struct {
		path   string
		secure bool
		name   string
	}{
		{"/", true, "__Host-hikyaku_session"},
		{"/chat/", true, "__Secure-hikyaku_session"},
		{"/", false, "hikyaku_session"},
	} {
		c := auth.Cookie("token", tt.path, tt.secure)
		if c.Name != tt.name || c.Secure != tt.secure || c.Path != tt.path || c.Domain != "" {
			t.Errorf("%+v: %+v", tt, c)
		}
		for _, proto := range []string{"https", "wss", "http", ""} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody)
			r.AddCookie(c)
			r.Header.Set("X-Forwarded-Proto", proto)
			counts := tt.secure || (proto != "https" && proto != "wss")
			if got := auth.CookieToken(r); (got == "token") != counts {
				t.Errorf("%s in a request over %q: %q", c.Name, proto, got)
			}
		}

	}
}

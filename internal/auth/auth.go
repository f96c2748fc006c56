// Package auth authenticates requests: it generates session tokens and finds the
// session of a request by its cookie (web page) or bearer token (programs).
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

const (
	// CookieName is the name of the session cookie of the web page where there is no
	// HTTPS. Over HTTPS it has a prefix, with which browsers see to it that only this
	// address can have set it (RFC 6265bis, 4.1.3); see [Cookie].
	CookieName = "hikyaku_session"
	// AccountHeader names the account that a request is meant for, by its id. The
	// pages of one browser share a cookie, so a page cannot know whose it is when
	// the request leaves.
	AccountHeader = "Hikyaku-Account"
	// AccountParameter says the same in the query: browsers set no headers when
	// they open a socket.
	AccountParameter = "account"
	// Lifetime is how long an unused session lasts, unless it was created with
	// another lifetime.
	Lifetime = 30 * 24 * time.Hour
	// MaxAge is how long a session lasts that is in use, unless it was created for
	// longer.
	MaxAge = 180 * 24 * time.Hour
	// touchInterval is how often the use of a session is recorded.
	touchInterval = 5 * time.Minute
	// tokenPrefix lets scanners for leaked secrets recognise a token.
	tokenPrefix = "hky_"
)

// NewToken returns a new token of 256 random bits, and the hash to store.
func NewToken() (token string, hash []byte) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (Go 1.24)
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	return token, HashToken(token)
}

// HashToken returns the hash under which a token is stored. Tokens are random, so
// a fast hash is as secure as a slow one, and an index finds it.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Store is what the authenticator needs of the store.
type Store interface {
	SessionByToken(ctx context.Context, token []byte, now time.Time) (store.Session, chat.User, error)
	TouchSession(ctx context.Context, id chat.SessionID, seen, expires time.Time) error
}

// Config has the dependencies of an authenticator.
type Config struct {
	Store  Store
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default none
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Authenticator finds the session of a request. It is safe for concurrent use.
type Authenticator struct{ cfg Config }

// NewAuthenticator returns an authenticator.
func NewAuthenticator(cfg Config) *Authenticator {
	return &Authenticator{cfg: cfg.WithDefaults()}
}

var errNoSession = chat.Refuse(chat.CodeUnauthenticated, "", "log in first")

// Authenticate finds the session of a request and records its use. It refuses a
// request that names another account than the session's. A refusal is a
// *chat.Error; any other error comes from the store.
func (a *Authenticator) Authenticate(r *http.Request) (store.Session, chat.User, error) {
	token := tokenOf(r)
	if token == "" {
		return store.Session{}, chat.User{}, errNoSession
	}
	now := a.cfg.Now()
	s, u, err := a.cfg.Store.SessionByToken(r.Context(), HashToken(token), now)
	if chat.CodeOf(err) == chat.CodeNotFound {
		return store.Session{}, chat.User{}, errNoSession
	}
	if err != nil {
		return store.Session{}, chat.User{}, err
	}
	if !meantFor(r, u.ID) {
		return store.Session{}, chat.User{}, chat.Refuse(chat.CodeOtherAccount, "", "another account is logged in here now")
	}
	if now.Sub(s.SeenAt) >= touchInterval {
		if err := a.cfg.Store.TouchSession(r.Context(), s.ID, now, extended(s, now)); err != nil {
			// The session is valid nevertheless.
			a.cfg.Logger.WarnContext(r.Context(), "the use of a session could not be recorded", "session", s.ID, "error", err)
		}
	}
	return s, u, nil
}

// extended returns when a session ends that is used now: after the lifetime that it
// was created with, but not later than MaxAge after it was created. A program's session
// with a longer lifetime has no such end.
func extended(s store.Session, now time.Time) time.Time {
	lifetime := s.ExpiresAt.Sub(s.SeenAt)
	end := now.Add(lifetime)
	if last := s.CreatedAt.Add(MaxAge); lifetime <= Lifetime && end.After(last) {
		return last
	}
	return end
}

// tokenOf returns the token of a request, "" for none. The header has priority:
// it is set on purpose, while a browser sends its cookie with every request.
func tokenOf(r *http.Request) string {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
		return ""
	}
	return CookieToken(r)
}

// CookieToken returns the token of the session cookie of a request, "" for none. Over
// HTTPS a cookie without a prefix does not count: another host of the domain could have
// set it.
func CookieToken(r *http.Request) string {
	names := []string{hostPrefix + CookieName, securePrefix + CookieName, CookieName}
	if IsSecure(r) {
		names = names[:2]
	}
	for _, name := range names {
		if c, err := r.Cookie(name); err == nil {
			return c.Value
		}
	}
	return ""
}

// The prefixes of cookies that browsers take over HTTPS only: for the whole of one
// host, and for a path of it.
const (
	hostPrefix   = "__Host-"
	securePrefix = "__Secure-"
)

// IsSecure reports whether a request came over HTTPS. A client that forges the header
// only prevents its own cookies from being sent over plain HTTP. Some proxies say wss of
// a socket.
func IsSecure(r *http.Request) bool {
	proto := r.Header.Get("X-Forwarded-Proto")
	return r.TLS != nil || proto == "https" || proto == "wss"
}

// meantFor reports whether a request is meant for an account: whatever it names,
// in the header or the query and however often, is this one. A query that cannot be
// read may name another.
func meantFor(r *http.Request, account chat.UserID) bool {
	named := r.Header.Values(AccountHeader)
	if r.URL.RawQuery != "" {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil && strings.Contains(r.URL.RawQuery, AccountParameter) {
			return false
		}
		named = append(slices.Clip(named), query[AccountParameter]...)
	}
	return !slices.ContainsFunc(named, func(id string) bool { return id != account.String() })
}

// Cookie returns the session cookie with a token, or one that deletes the cookie
// when token is empty. Browsers send it for addresses below path. Scripts cannot
// read it, and requests from other sites do not contain it.
func Cookie(token, path string, secure bool) *http.Cookie {
	return newCookie(CookieName, token, path, secure, Lifetime)
}

func newCookie(name, value, path string, secure bool, age time.Duration) *http.Cookie {
	switch {
	case secure && path == "/":
		name = hostPrefix + name
	case secure:
		name = securePrefix + name
	}
	c := &http.Cookie{
		Name: name, Value: value, Path: path, HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteLaxMode, MaxAge: int(age / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

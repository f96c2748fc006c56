// Package auth knows who asks: it makes session tokens and finds the session
// of a request, from the page's cookie or a program's bearer token.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

const (
	// CookieName is the page's cookie.
	CookieName = "hikyaku_session"
	// Lifetime is how long a session lasts without being used, unless it was
	// made for another time.
	Lifetime = 30 * 24 * time.Hour
	// touchEvery is how often use is recorded.
	touchEvery = 5 * time.Minute
	// prefix lets scanners of leaked secrets recognise a token.
	prefix = "hky_"
)

// NewToken is a fresh token of 256 random bits, and the hash to store.
func NewToken() (token string, hash []byte) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (Go 1.24)
	token = prefix + base64.RawURLEncoding.EncodeToString(b)
	return token, Hash(token)
}

// Hash is what is stored of a token. Tokens are random, so a plain hash is as
// good as a slow one, and equal hashes are found by an index.
func Hash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Store is what the authenticator needs of the store.
type Store interface {
	SessionByToken(ctx context.Context, token []byte, now time.Time) (store.Session, chat.User, error)
	TouchSession(ctx context.Context, id chat.SessionID, seen, expires time.Time) error
}

// Config is what an authenticator works with.
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

// NewAuthenticator makes an authenticator.
func NewAuthenticator(cfg Config) *Authenticator {
	return &Authenticator{cfg: cfg.WithDefaults()}
}

var errNoSession = chat.Refuse(chat.CodeUnauthenticated, "", "log in first")

// Authenticate finds the session of a request and records its use. A refusal
// is a *chat.Error; any other error is trouble of the store.
func (a *Authenticator) Authenticate(r *http.Request) (store.Session, chat.User, error) {
	token := tokenOf(r)
	if token == "" {
		return store.Session{}, chat.User{}, errNoSession
	}
	now := a.cfg.Now()
	s, u, err := a.cfg.Store.SessionByToken(r.Context(), Hash(token), now)
	if chat.CodeOf(err) == chat.CodeNotFound {
		return store.Session{}, chat.User{}, errNoSession
	}
	if err != nil {
		return store.Session{}, chat.User{}, err
	}
	if now.Sub(s.SeenAt) >= touchEvery {
		// One that was made for a shorter time goes on for as long as that.
		if err := a.cfg.Store.TouchSession(r.Context(), s.ID, now, now.Add(s.ExpiresAt.Sub(s.SeenAt))); err != nil {
			// The session is good all the same.
			a.cfg.Logger.WarnContext(r.Context(), "the use of a session could not be recorded", "session", s.ID, "error", err)
		}
	}
	return s, u, nil
}

// tokenOf prefers the header: a program says what it means, a browser sends
// its cookie with everything.
func tokenOf(r *http.Request) string {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
		return ""
	}
	c, err := r.Cookie(CookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// Cookie carries a token to the page's browser, or takes it back when token is
// empty. No script can read it, and other sites' requests do not carry it.
func Cookie(token string, secure bool) *http.Cookie {
	c := &http.Cookie{
		Name: CookieName, Value: token, Path: "/", HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteLaxMode, MaxAge: int(Lifetime / time.Second),
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}

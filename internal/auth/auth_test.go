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

// singleSessionStore is a store of one session.
type singleSessionStore struct{ store.Session }

func (o *singleSessionStore) SessionByToken(context.Context, []byte, time.Time) (store.Session, chat.User, error) {
	return o.Session, chat.User{}, nil
}

func (o *singleSessionStore) TouchSession(_ context.Context, _ chat.SessionID, seen, expires time.Time) error {
	o.SeenAt, o.ExpiresAt = seen, expires
	return nil
}

// A session goes on for the time that it was made for, counted from its use.
func TestUseExtendsTheSession(t *testing.T) {
	began := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, life := range []time.Duration{auth.Lifetime, 24 * time.Hour} {
		st := &singleSessionStore{store.Session{SeenAt: began, ExpiresAt: began.Add(life)}}
		now := began
		a := auth.NewAuthenticator(auth.Config{Store: st, Now: func() time.Time { return now }})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", "Bearer token")
		for range 3 {
			now = now.Add(time.Hour)
			if _, _, err := a.Authenticate(r); err != nil {
				t.Fatal(err)
			}
		}
		if want := began.Add(3*time.Hour + life); !st.ExpiresAt.Equal(want) {
			t.Errorf("a session of %s ends at %s, want %s", life, st.ExpiresAt, want)
		}
	}
}

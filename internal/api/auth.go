package api

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// caller is the authenticated user of a request.
type caller struct {
	session store.Session
	user    chat.User
}

type (
	callerKey  struct{}
	requestKey struct{}
)

// callerOf returns the caller. It panics in public operations.
func callerOf(ctx context.Context) caller { return ctx.Value(callerKey{}).(caller) }

// callerID returns the id of the caller's account.
func callerID(ctx context.Context) chat.UserID { return callerOf(ctx).user.ID }

// authenticate finds the session of every request that needs one.
func (a *API) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	ctx = huma.WithValue(ctx, requestKey{}, r)
	if len(ctx.Operation().Security) == 0 {
		next(ctx)
		return
	}
	s, u, err := a.cfg.Auth.Authenticate(r)
	if err != nil {
		writeProblem(w, a.problemFor(r.Context(), "authenticate", err).(*Problem))
		return
	}
	next(huma.WithValue(ctx, callerKey{}, caller{session: s, user: u}))
}

func requestOf(ctx context.Context) *http.Request { return ctx.Value(requestKey{}).(*http.Request) }

// clientNetwork returns the key of a client's address for rate limits: the IPv4
// address, or the /64 network of an IPv6 address, because one customer has all
// its addresses and could use a new one for each guess.
func clientNetwork(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	a := peer.Addr().Unmap()
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a.WithZone(""), 64).Masked().String()
}

// cookie returns the session cookie for the answer to a request, or with an empty
// token one that deletes it.
func (a *API) cookie(token string, r *http.Request) string {
	return auth.Cookie(token, a.cfg.BasePath, auth.IsSecure(r)).String()
}

// requireAdmin returns a refusal unless the caller administers the installation.
func requireAdmin(ctx context.Context) error {
	if !callerOf(ctx).user.Admin {
		return chat.Refuse(chat.CodeForbidden, "", "only an administrator of the installation may do this")
	}
	return nil
}

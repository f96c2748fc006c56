package api

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/username"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Credentials are the credentials of a registration or log-in.
type Credentials struct {
	Name     string `json:"name" maxLength:"200"`
	Password string `json:"password" maxLength:"1000"`
	Device   string `json:"device,omitempty" maxLength:"200" doc:"what the device calls itself"`
	Cookie   bool   `json:"cookie,omitempty" doc:"true: the token is set as a cookie and not told; for the page"`
}

// RegisterBody is a new account.
type RegisterBody struct {
	Credentials
	DisplayName string `json:"display_name,omitempty" maxLength:"400"`
	Invitation  string `json:"invitation,omitempty" maxLength:"200" doc:"token of an invitation, where one is needed; for the first account the setup token, which the server prints when it starts"`
}

// Grant is a new session.
type Grant struct {
	User    wire.User      `json:"user"`
	Session chat.SessionID `json:"session"`
	Token   string         `json:"token,omitempty" doc:"for the Authorization header; keep it secret"`
}

type grantOutput struct {
	SetCookie []*http.Cookie `header:"Set-Cookie"`
	Body      Grant
}

// Me is the logged-in user.
type Me struct {
	User    wire.User      `json:"user"`
	Session chat.SessionID `json:"session"`
}

func (a *API) registerAccounts() {
	handle(a, operation{id: "register", method: http.MethodPost, path: "/register", tag: "Accounts", summary: "Make an account and log in", status: http.StatusCreated, public: true}, a.register)
	handle(a, operation{id: "login", method: http.MethodPost, path: "/login", tag: "Accounts", summary: "Log in", public: true}, a.login)
	handle(a, operation{id: "get-me", method: http.MethodGet, path: "/me", tag: "Accounts", summary: "Who is logged in"},
		func(ctx context.Context, _ *empty) (*body[Me], error) {
			c := callerOf(ctx)
			return &body[Me]{Me{User: wire.UserOf(c.user), Session: c.session.ID}}, nil
		})
	handle(a, operation{id: "get-session", method: http.MethodGet, path: "/session", tag: "Accounts", summary: "Who is logged in, if anybody is; 204 when nobody is", public: true}, a.currentSession)
	handle(a, operation{id: "update-me", method: http.MethodPatch, path: "/me", tag: "Accounts", summary: "Change what others see of the account"}, a.updateMe)
	handle(a, operation{id: "change-password", method: http.MethodPut, path: "/me/password", tag: "Accounts", summary: "Change the password and end all other sessions", status: http.StatusNoContent}, a.changePassword)
}

// sessionOutput is 200 with a session, or 204 without one.
type sessionOutput struct {
	Status int
	Body   *Me
}

// currentSession is get-me for who may be nobody: that is no fault of a visitor.
func (a *API) currentSession(ctx context.Context, _ *empty) (*sessionOutput, error) {
	s, u, err := a.cfg.Auth.Authenticate(requestOf(ctx))
	switch {
	case chat.CodeOf(err) == chat.CodeUnauthenticated:
		return &sessionOutput{Status: http.StatusNoContent}, nil
	case err != nil:
		return nil, err
	}
	return &sessionOutput{Status: http.StatusOK, Body: &Me{User: wire.UserOf(u), Session: s.ID}}, nil
}

// register makes an account. What costs little is checked first: a password is hashed
// only for who would get the account.
func (a *API) register(ctx context.Context, in *body[RegisterBody]) (*grantOutput, error) {
	b := in.Body
	invitation, err := a.checkRegistration(ctx, b.Invitation)
	if err != nil {
		return nil, err
	}
	name, skeleton, err := username.New(b.Name)
	if err != nil {
		return nil, err
	}
	if b.DisplayName == "" {
		b.DisplayName = truncateRunes(b.Name, chat.MaxDisplayName)
	}
	display, err := chat.CleanDisplayName(b.DisplayName)
	if err != nil {
		return nil, err
	}
	if err := password.Check(b.Password, name); err != nil {
		return nil, err
	}
	wait, err := a.cfg.Registering.Take(ctx, clientNetwork(requestOf(ctx)))
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		return nil, rateLimited(wait, "registration", "too many accounts are made from this network; wait before the next one")
	}
	u := store.NewUser{Name: name, Skeleton: skeleton, DisplayName: display}
	if err := a.cfg.Store.CheckUser(ctx, u, invitation); err != nil {
		return nil, err
	}
	if u.Password, err = a.cfg.Hasher.HashOfStranger(ctx, b.Password); err != nil {
		return nil, err
	}
	made, err := a.cfg.Store.CreateUser(ctx, u, invitation)
	if err != nil {
		return nil, err
	}
	return a.createSession(ctx, made, &b.Credentials)
}

func truncateRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// checkRegistration returns the token hash of the invitation that a registration uses,
// nil for none, or refuses it. The first account is made by whoever has the setup token,
// and by nobody else, whatever the mode.
func (a *API) checkRegistration(ctx context.Context, invitation string) ([]byte, error) {
	exists, err := a.cfg.Store.HasUsers(ctx)
	if err != nil {
		return nil, err
	}
	given := auth.HashToken(invitation)
	switch {
	case !exists:
		if subtle.ConstantTimeCompare(given, auth.HashToken(a.cfg.SetupToken)) == 1 {
			return nil, nil
		}
		return nil, chat.Refuse(chat.CodeForbidden, "setup", "the first account administers this installation, and is made with the link that the server prints when it starts")
	case a.cfg.Registration == Open:
		return nil, nil
	case a.cfg.Registration == Closed:
		return nil, chat.Refuse(chat.CodeForbidden, "registration", "this installation takes no new accounts; ask its administrator")
	case invitation == "":
		return nil, chat.Refuse(chat.CodeForbidden, "invitation", "an invitation is needed to register here")
	}
	return given, nil
}

func (a *API) login(ctx context.Context, in *body[Credentials]) (*grantOutput, error) {
	b := in.Body
	name, err := username.Canonical(b.Name)
	if err != nil {
		// No account has such a name. The password is checked nevertheless,
		// so that the response takes as long.
		name = ""
	}
	// The address comes first: an address that is blocked must not block the
	// name.
	address, named := "address:"+clientNetwork(requestOf(ctx)), "name:"+name
	if device := a.devices.Of(requestOf(ctx), name); device != "" {
		named = "device:" + device
	}
	u, ok, stale, err := a.verify(ctx, name, b.Password, address, named)
	if err != nil {
		return nil, err
	}
	if !ok || u.Disabled {
		return nil, chat.Refuse(chat.CodeUnauthenticated, "password", "the name or the password is wrong")
	}
	if err := a.cfg.Throttle.Reset(ctx, named); err != nil {
		return nil, err
	}
	// Only this attempt is subtracted from the address: who knows one password
	// must not get a new count to guess others.
	if err := a.cfg.Throttle.Cancel(ctx, address); err != nil {
		return nil, err
	}
	if stale {
		a.rehash(ctx, u.ID, b.Password)
	}
	return a.createSession(ctx, u, &b)
}

// verify reports whether a password is correct, and whether its hash was made
// with outdated cost parameters. The attempt is counted under the keys before
// anything is hashed, and stays counted unless the caller subtracts it.
func (a *API) verify(ctx context.Context, name, secret string, keys ...string) (u chat.User, ok, stale bool, err error) {
	wait, err := a.cfg.Throttle.Try(ctx, keys...)
	if err != nil {
		return u, false, false, err
	}
	if wait > 0 {
		return u, false, false, rateLimited(wait, "password", "too many wrong attempts; wait before the next one")
	}
	u, hash, err := a.cfg.Store.Credentials(ctx, name)
	if err == nil || chat.CodeOf(err) == chat.CodeNotFound {
		ok, stale, err = a.cfg.Hasher.Verify(ctx, hash, truncateBytes(secret, chat.MaxPassword+1))
	}
	if err != nil {
		// The password was not checked, so the attempt does not count.
		err = errors.Join(err, a.cfg.Throttle.Cancel(ctx, keys...))
	}
	return u, ok, stale, err
}

// truncateBytes truncates s to n bytes. It limits the work of hashing passwords
// that are longer than allowed.
func truncateBytes(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// rehash replaces a hash with one of the current cost. The log-in succeeds also
// when it fails.
func (a *API) rehash(ctx context.Context, id chat.UserID, secret string) {
	hash, err := a.cfg.Hasher.Hash(ctx, secret)
	if err == nil {
		_, err = a.cfg.Store.UpdateUser(ctx, id, store.UserChange{Password: &hash})
	}
	if err != nil {
		a.log.WarnContext(ctx, "a password could not be rehashed", "user", id, "error", err)
	}
}

// createSession creates a session and returns its token, in the response or as a
// cookie.
func (a *API) createSession(ctx context.Context, u chat.User, c *Credentials) (*grantOutput, error) {
	r := requestOf(ctx)
	device := c.Device
	if device == "" {
		device = r.UserAgent()
	}
	if !utf8.ValidString(device) {
		device = "unknown"
	}
	token, hash := auth.NewToken()
	now := a.cfg.Now()
	id, err := a.cfg.Store.CreateSession(ctx, store.Session{
		User: u.ID, Token: hash, Device: truncateRunes(device, 200), CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(auth.Lifetime),
	})
	if err != nil {
		return nil, err
	}
	if err := a.endOldest(ctx, u.ID); err != nil {
		a.log.WarnContext(ctx, "old sessions could not be ended", "user", u.ID, "error", err)
	}
	out := &grantOutput{Body: Grant{User: wire.UserOf(u), Session: id}}
	if c.Cookie {
		a.endReplaced(ctx, r)
		out.SetCookie = []*http.Cookie{auth.Cookie(token, a.cfg.BasePath, auth.IsSecure(r)), a.devices.Cookie(r, u.Name, a.cfg.BasePath)}
	} else {
		out.Body.Token = token
	}
	return out, nil
}

// maxSessions is how many devices of one account are logged in. Programs that an operator
// has given a longer session are besides.
const maxSessions = 100

// endOldest ends the sessions of a user above the limit: those first that were never used
// after their log-in, as those of a program that logs in each time, and then those that
// were not used for the longest time.
func (a *API) endOldest(ctx context.Context, user chat.UserID) error {
	all, err := a.cfg.Store.SessionsOf(ctx, user)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s store.Session) bool { return s.ExpiresAt.Sub(s.SeenAt) > auth.Lifetime })
	if len(all) <= maxSessions {
		return nil
	}
	newest := all[0].ID // the one that was just created
	rank := func(s store.Session) int {
		if s.ID == newest || s.SeenAt.After(s.CreatedAt) {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(x, y store.Session) int {
		return cmp.Or(cmp.Compare(rank(x), rank(y)), y.SeenAt.Compare(x.SeenAt))
	})
	var ids []chat.SessionID
	for _, s := range all[maxSessions:] {
		ids = append(ids, s.ID)
	}
	ended, err := a.cfg.Store.DeleteSessions(ctx, user, ids, 0)
	if err == nil {
		a.cfg.Announcer.SessionsEnded(ctx, user, ended)
	}
	return err
}

// endReplaced ends the session of the cookie that a log-in replaces: nobody has its
// token any more. The log-in succeeds also when it fails.
func (a *API) endReplaced(ctx context.Context, r *http.Request) {
	if auth.CookieToken(r) == "" || r.Header.Get("Authorization") != "" {
		return
	}
	replaced, u, err := a.cfg.Auth.Authenticate(r)
	if err == nil {
		err = a.endSessions(ctx, u.ID, []chat.SessionID{replaced.ID}, 0)
	}
	if err != nil && chat.CodeOf(err) == "" {
		a.log.WarnContext(ctx, "the session before a log-in could not be ended", "error", err)
	}
}

type updateMeBody struct {
	DisplayName *string `json:"display_name,omitempty" maxLength:"400"`
}

func (a *API) updateMe(ctx context.Context, in *body[updateMeBody]) (*body[wire.User], error) {
	var change store.UserChange
	if in.Body.DisplayName != nil {
		display, err := chat.CleanDisplayName(*in.Body.DisplayName)
		if err != nil {
			return nil, err
		}
		change.DisplayName = &display
	}
	u, err := a.cfg.Store.UpdateUser(ctx, callerID(ctx), change)
	return &body[wire.User]{wire.UserOf(u)}, err
}

type changePasswordBody struct {
	Old string `json:"old" maxLength:"1000"`
	New string `json:"new" maxLength:"1000"`
}

func (a *API) changePassword(ctx context.Context, in *body[changePasswordBody]) (*empty, error) {
	c := callerOf(ctx)
	// Not the name's count, which anybody can raise.
	key := "account:" + c.user.ID.String()
	_, ok, _, err := a.verify(ctx, c.user.Name, in.Body.Old, key)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, chat.Refuse(chat.CodeForbidden, "old", "the old password is wrong")
	}
	if err := a.cfg.Throttle.Reset(ctx, key); err != nil {
		return nil, err
	}
	if err := password.Check(in.Body.New, c.user.Name); err != nil {
		return nil, err
	}
	if in.Body.New == in.Body.Old {
		return nil, chat.Refuse(chat.CodeConflict, "password", "the new password is the old one")
	}
	hash, err := a.cfg.Hasher.Hash(ctx, in.Body.New)
	if err != nil {
		return nil, err
	}
	if _, err := a.cfg.Store.UpdateUser(ctx, c.user.ID, store.UserChange{Password: &hash}); err != nil {
		return nil, err
	}
	return &empty{}, a.endSessions(ctx, c.user.ID, nil, c.session.ID)
}

package storetest

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var sessionTests = []testCase{
	{name: "a session is kept as given", run: sessionKept},
	{name: "a session expires", run: sessionExpires},
	{name: "an unknown account has none", run: sessionOfNobody},
	{name: "list", run: sessionList},
	{name: "touch", run: sessionTouch},
	{name: "end", run: sessionEnd},
	{name: "which have ended", run: endedSessions},
}

func (f *fixture) session(u chat.UserID, token []byte, life time.Duration) chat.SessionID {
	f.Helper()
	return must[chat.SessionID](f)(f.s.CreateSession(f.ctx(), store.Session{
		User: u, Token: token, Device: "device", CreatedAt: ms(0), SeenAt: ms(0), ExpiresAt: ms(life),
	}))
}

func sessionKept(f *fixture) {
	u := f.user()
	in := store.Session{
		User: u, Token: token(), Device: "Firefox on Linux",
		CreatedAt: ms(-time.Hour), SeenAt: ms(-time.Minute), ExpiresAt: ms(time.Hour),
	}
	in.ID = must[chat.SessionID](f)(f.s.CreateSession(f.ctx(), in))
	if in.ID <= 0 {
		f.Errorf("the id is %d", in.ID)
	}
	for range 2 {
		got, user, err := f.s.SessionByToken(f.ctx(), in.Token, time.Now())
		f.noError(err)
		f.equal("session", got, in)
		f.equal("account", user.ID, u)
		f.reopen()
	}
	_, _, err := f.s.SessionByToken(f.ctx(), token(), time.Now())
	f.refused(err, chat.CodeUnauthenticated)
}

func sessionExpires(f *fixture) {
	u, t := f.user(), token()
	f.session(u, t, time.Hour)
	for d, ok := range map[time.Duration]bool{59 * time.Minute: true, time.Hour + time.Second: false} {
		_, _, err := f.s.SessionByToken(f.ctx(), t, time.Now().Add(d))
		if ok {
			f.noError(err)
		} else {
			f.refused(err, chat.CodeUnauthenticated)
		}
	}
}

func sessionOfNobody(f *fixture) {
	_, err := f.s.CreateSession(f.ctx(), store.Session{User: 1, Token: token(), ExpiresAt: ms(time.Hour)})
	f.refused(err, chat.CodeNotFound)
	f.equal("sessions", must[[]store.Session](f)(f.s.SessionsOf(f.ctx(), 1)), []store.Session(nil))
}

func sessionList(f *fixture) {
	u, other := f.user(), f.user()
	first := f.session(u, token(), time.Hour)
	f.session(other, token(), time.Hour)
	second := f.session(u, token(), time.Hour)
	f.session(u, token(), -time.Hour) // expired
	var ids []chat.SessionID
	for _, s := range must[[]store.Session](f)(f.s.SessionsOf(f.ctx(), u)) {
		ids = append(ids, s.ID)
	}
	f.equal("newest first", ids, []chat.SessionID{second, first})
}

func sessionTouch(f *fixture) {
	u, t := f.user(), token()
	id := f.session(u, t, time.Hour)
	seen, expires := ms(time.Minute), ms(2*time.Hour)
	f.noError(f.s.TouchSession(f.ctx(), id, seen, expires))
	// A late call does not undo it.
	f.noError(f.s.TouchSession(f.ctx(), id, ms(-time.Hour), ms(time.Minute)))
	got, _, err := f.s.SessionByToken(f.ctx(), t, time.Now())
	f.noError(err)
	f.equal("seen", got.SeenAt, seen)
	f.equal("expires", got.ExpiresAt, expires)
	f.noError(f.s.TouchSession(f.ctx(), 1, seen, expires)) // it may have ended meanwhile
}

func sessionEnd(f *fixture) {
	u, other := f.user(), f.user()
	tokens := [][]byte{token(), token(), token(), token()}
	ids := make([]chat.SessionID, len(tokens))
	for i := range tokens {
		ids[i] = f.session(u, tokens[i], time.Hour)
	}
	theirs := f.session(other, token(), time.Hour)
	none := must[[]chat.SessionID](f)(f.s.DeleteSessions(f.ctx(), u, []chat.SessionID{theirs, 1}, 0))
	f.equal("of others and unknown", none, []chat.SessionID(nil))
	none = must[[]chat.SessionID](f)(f.s.DeleteSessions(f.ctx(), u, []chat.SessionID{}, 0))
	f.equal("none given", none, []chat.SessionID(nil))
	one := must[[]chat.SessionID](f)(f.s.DeleteSessions(f.ctx(), u, []chat.SessionID{ids[1], theirs}, 0))
	f.equal("one", one, []chat.SessionID{ids[1]})
	rest := must[[]chat.SessionID](f)(f.s.DeleteSessions(f.ctx(), u, nil, ids[2]))
	f.equal("all but one", rest, []chat.SessionID{ids[0], ids[3]})
	for i := range tokens {
		_, _, err := f.s.SessionByToken(f.ctx(), tokens[i], time.Now())
		if i == 2 {
			f.noError(err)
		} else {
			f.refused(err, chat.CodeUnauthenticated)
		}
	}
	f.equal("of the other", len(must[[]store.Session](f)(f.s.SessionsOf(f.ctx(), other))), 1)
}

func endedSessions(f *fixture) {
	u, other, disabled := f.user(), f.user(), f.user()
	active, loggedOut, expired := f.session(u, token(), time.Hour), f.session(u, token(), time.Hour), f.session(u, token(), -time.Hour)
	theirs, off := f.session(other, token(), time.Hour), f.session(disabled, token(), time.Hour)
	all := []chat.SessionID{active, loggedOut, theirs, active, off, expired, 1}
	ended := func() []chat.SessionID { return sorted(must[[]chat.SessionID](f)(f.s.EndedSessions(f.ctx(), all))...) }
	f.equal("at first", ended(), sorted(1, expired))
	must[[]chat.SessionID](f)(f.s.DeleteSessions(f.ctx(), u, []chat.SessionID{loggedOut}, 0))
	yes := true
	must[chat.User](f)(f.s.UpdateUser(f.ctx(), disabled, store.UserChange{Disabled: &yes}))
	f.equal("after a log-out and a disabled account", ended(), sorted(1, loggedOut, expired, off))
	f.equal("of none", len(must[[]chat.SessionID](f)(f.s.EndedSessions(f.ctx(), nil))), 0)
}

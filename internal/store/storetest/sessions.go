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
}

func (w *world) session(u chat.UserID, token []byte, life time.Duration) chat.SessionID {
	w.Helper()
	return must[chat.SessionID](w)(w.s.CreateSession(w.ctx(), store.Session{
		User: u, Token: token, Device: "device", CreatedAt: ms(0), SeenAt: ms(0), ExpiresAt: ms(life),
	}))
}

func sessionKept(w *world) {
	u := w.user()
	in := store.Session{
		User: u, Token: token(), Device: "Firefox on Linux",
		CreatedAt: ms(-time.Hour), SeenAt: ms(-time.Minute), ExpiresAt: ms(time.Hour),
	}
	in.ID = must[chat.SessionID](w)(w.s.CreateSession(w.ctx(), in))
	if in.ID <= 0 {
		w.Errorf("the id is %d", in.ID)
	}
	for range 2 {
		got, user, err := w.s.SessionByToken(w.ctx(), in.Token, time.Now())
		w.nothing(err)
		w.same("session", got, in)
		w.same("account", user.ID, u)
		w.reopen()
	}
	_, _, err := w.s.SessionByToken(w.ctx(), token(), time.Now())
	w.refused(err, chat.CodeUnauthenticated)
}

func sessionExpires(w *world) {
	u, t := w.user(), token()
	w.session(u, t, time.Hour)
	for d, ok := range map[time.Duration]bool{59 * time.Minute: true, time.Hour + time.Second: false} {
		_, _, err := w.s.SessionByToken(w.ctx(), t, time.Now().Add(d))
		if ok {
			w.nothing(err)
		} else {
			w.refused(err, chat.CodeUnauthenticated)
		}
	}
}

func sessionOfNobody(w *world) {
	_, err := w.s.CreateSession(w.ctx(), store.Session{User: 1, Token: token(), ExpiresAt: ms(time.Hour)})
	w.refused(err, chat.CodeNotFound)
	w.same("sessions", must[[]store.Session](w)(w.s.SessionsOf(w.ctx(), 1)), []store.Session(nil))
}

func sessionList(w *world) {
	u, other := w.user(), w.user()
	first := w.session(u, token(), time.Hour)
	w.session(other, token(), time.Hour)
	second := w.session(u, token(), time.Hour)
	w.session(u, token(), -time.Hour) // expired
	var ids []chat.SessionID
	for _, s := range must[[]store.Session](w)(w.s.SessionsOf(w.ctx(), u)) {
		ids = append(ids, s.ID)
	}
	w.same("newest first", ids, []chat.SessionID{second, first})
}

func sessionTouch(w *world) {
	u, t := w.user(), token()
	id := w.session(u, t, time.Hour)
	seen, expires := ms(time.Minute), ms(2*time.Hour)
	w.nothing(w.s.TouchSession(w.ctx(), id, seen, expires))
	// What was told late does not undo it.
	w.nothing(w.s.TouchSession(w.ctx(), id, ms(-time.Hour), ms(time.Minute)))
	got, _, err := w.s.SessionByToken(w.ctx(), t, time.Now())
	w.nothing(err)
	w.same("seen", got.SeenAt, seen)
	w.same("expires", got.ExpiresAt, expires)
	w.nothing(w.s.TouchSession(w.ctx(), 1, seen, expires)) // it may have ended meanwhile
}

func sessionEnd(w *world) {
	u, other := w.user(), w.user()
	tokens := [][]byte{token(), token(), token(), token()}
	ids := make([]chat.SessionID, len(tokens))
	for i := range tokens {
		ids[i] = w.session(u, tokens[i], time.Hour)
	}
	theirs := w.session(other, token(), time.Hour)
	none := must[[]chat.SessionID](w)(w.s.DeleteSessions(w.ctx(), u, []chat.SessionID{theirs, 1}, 0))
	w.same("of others and unknown", none, []chat.SessionID(nil))
	none = must[[]chat.SessionID](w)(w.s.DeleteSessions(w.ctx(), u, []chat.SessionID{}, 0))
	w.same("none given", none, []chat.SessionID(nil))
	one := must[[]chat.SessionID](w)(w.s.DeleteSessions(w.ctx(), u, []chat.SessionID{ids[1], theirs}, 0))
	w.same("one", one, []chat.SessionID{ids[1]})
	rest := must[[]chat.SessionID](w)(w.s.DeleteSessions(w.ctx(), u, nil, ids[2]))
	w.same("all but one", rest, []chat.SessionID{ids[0], ids[3]})
	for i := range tokens {
		_, _, err := w.s.SessionByToken(w.ctx(), tokens[i], time.Now())
		if i == 2 {
			w.nothing(err)
		} else {
			w.refused(err, chat.CodeUnauthenticated)
		}
	}
	w.same("of the other", len(must[[]store.Session](w)(w.s.SessionsOf(w.ctx(), other))), 1)
}

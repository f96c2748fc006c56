package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

var pushTests = []testCase{
	{name: "the keys are made once", run: pushKeysOnce, fresh: true},
	{name: "keys that cannot be made", run: pushKeysFail, fresh: true},
	{name: "a subscription is kept as given", run: subscriptionKept},
	{name: "a subscription is registered again", run: subscriptionAgain},
	{name: "an endpoint moves to the present user", run: subscriptionMoves},
	{name: "the oldest of too many goes", run: subscriptionsBounded},
	{name: "too many at once", run: subscriptionsAtOnce},
	{name: "end and drop", run: subscriptionEnds},
	{name: "a subscription ends with its session", run: subscriptionOfSession},
	{name: "a disabled account takes nothing", run: subscriptionOfDisabled},
	{name: "a session that has ended registers nothing", run: subscriptionOfNobody},
	{name: "standings", run: standings},
}

func pushKeysOnce(w *world) {
	var made atomic.Int64
	keys := make([][2]string, 8)
	ask := func(i int) {
		public, private, err := w.s.PushKeys(w.ctx(), func() (string, string, error) {
			n := made.Add(1)
			return fmt.Sprint("public ", n), fmt.Sprint("private ", n), nil
		})
		if err != nil {
			w.Error(err)
		}
		keys[i] = [2]string{public, private}
	}
	parallel(w, len(keys), ask)
	first := keys[0]
	if first[0][len("public "):] != first[1][len("private "):] {
		w.Errorf("the keys are of two pairs: %v", first)
	}
	for _, k := range keys {
		w.same("all alike", k, first)
	}
	w.reopen()
	before := made.Load()
	ask(0)
	w.same("after a start", keys[0], first)
	w.same("made again", made.Load(), before)
}

func pushKeysFail(w *world) {
	broken := errors.New("no randomness")
	_, _, err := w.s.PushKeys(w.ctx(), func() (string, string, error) { return "", "", broken })
	if !errors.Is(err, broken) {
		w.Errorf("got %v", err)
	}
	public, _, err := w.s.PushKeys(w.ctx(), func() (string, string, error) { return "public", "private", nil })
	w.nothing(err)
	w.same("the next ones", public, "public")
}

// subscribed registers a device of a session.
func (w *world) subscribed(u chat.UserID, session chat.SessionID) store.Subscription {
	w.Helper()
	s := store.Subscription{
		User: u, Session: session, Endpoint: "https://push.example.org/" + unique("device"), P256DH: unique("key"), Auth: unique("auth"),
	}
	w.nothing(w.s.PutSubscription(w.ctx(), s))
	return s
}

func (w *world) loggedIn() (chat.UserID, chat.SessionID) {
	w.Helper()
	u := w.user()
	return u, w.session(u, token(), time.Hour)
}

// subscriptions are the users' ones without their times.
func (w *world) subscriptions(users ...chat.UserID) []store.Subscription {
	w.Helper()
	out := must[[]store.Subscription](w)(w.s.Subscriptions(w.ctx(), users))
	for i := range out {
		w.recent("the registration", out[i].CreatedAt)
		out[i].CreatedAt = time.Time{}
	}
	return byEndpoint(out...)
}

func byEndpoint(s ...store.Subscription) []store.Subscription {
	slices.SortFunc(s, func(a, b store.Subscription) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return s
}

func subscriptionKept(w *world) {
	u, session := w.loggedIn()
	other, theirs := w.loggedIn()
	silent := w.user()
	want := byEndpoint(w.subscribed(u, session), w.subscribed(u, session), w.subscribed(other, theirs))
	for range 2 {
		w.same("of two", w.subscriptions(u, silent, other, 1), want)
		w.same("of one", len(w.subscriptions(u)), 2)
		w.same("of none", w.subscriptions(), []store.Subscription(nil))
		w.reopen()
	}
}

func subscriptionAgain(w *world) {
	u, session := w.loggedIn()
	s := w.subscribed(u, session)
	s.Session, s.P256DH, s.Auth = w.session(u, token(), time.Hour), "other key", "other auth"
	w.nothing(w.s.PutSubscription(w.ctx(), s))
	w.same("subscriptions", w.subscriptions(u), []store.Subscription{s})
}

func subscriptionMoves(w *world) {
	u, session := w.loggedIn()
	other, theirs := w.loggedIn()
	s := w.subscribed(u, session)
	s.User, s.Session = other, theirs
	w.nothing(w.s.PutSubscription(w.ctx(), s))
	w.same("before", w.subscriptions(u), []store.Subscription(nil))
	w.same("now", w.subscriptions(other), []store.Subscription{s})
	// What the one before ends is no longer theirs.
	w.nothing(w.s.DeleteSubscription(w.ctx(), u, s.Endpoint))
	_, err := w.s.DeleteSessions(w.ctx(), u, nil, 0)
	w.nothing(err)
	w.same("still", w.subscriptions(other), []store.Subscription{s})
}

func subscriptionsBounded(w *world) {
	u, session := w.loggedIn()
	other, theirs := w.loggedIn()
	w.subscribed(other, theirs)
	var all []store.Subscription
	for range store.MaxSubscriptions + 1 {
		all = append(all, w.subscribed(u, session))
		later() // the order is by time
	}
	w.same("the oldest is gone", w.subscriptions(u), byEndpoint(slices.Clone(all[1:])...))
	// What is registered again is the newest.
	w.nothing(w.s.PutSubscription(w.ctx(), all[1]))
	later()
	last := w.subscribed(u, session)
	w.same("the oldest is another", w.subscriptions(u), byEndpoint(append(slices.Clone(all[3:]), all[1], last)...))
	w.same("of the other", len(w.subscriptions(other)), 1)
}

// later lets the store's clock go on.
func later() {
	for from := ms(0); !ms(0).After(from); {
		time.Sleep(time.Millisecond)
	}
}

func subscriptionsAtOnce(w *world) {
	u, session := w.loggedIn()
	for range store.MaxSubscriptions - 1 {
		w.subscribed(u, session)
	}
	parallel(w, 8, func(int) {
		if err := w.s.PutSubscription(w.ctx(), store.Subscription{
			User: u, Session: session, Endpoint: unique("https://push.example.org/at-once"), P256DH: "key", Auth: "auth",
		}); err != nil {
			w.Error(err)
		}
	})
	w.same("subscriptions", len(w.subscriptions(u)), store.MaxSubscriptions)
}

func subscriptionEnds(w *world) {
	u, session := w.loggedIn()
	first, second, third := w.subscribed(u, session), w.subscribed(u, session), w.subscribed(u, session)
	w.nothing(w.s.DeleteSubscription(w.ctx(), u, first.Endpoint))
	w.nothing(w.s.DropSubscription(w.ctx(), second.Endpoint))
	for range 2 { // again does no harm
		w.nothing(w.s.DeleteSubscription(w.ctx(), u, "https://push.example.org/nobody"))
		w.nothing(w.s.DropSubscription(w.ctx(), second.Endpoint))
	}
	w.same("left", w.subscriptions(u), []store.Subscription{third})
}

func subscriptionOfSession(w *world) {
	u, session := w.loggedIn()
	w.subscribed(u, session)
	kept := w.subscribed(u, w.session(u, token(), time.Hour))
	short := w.session(u, token(), time.Hour)
	w.subscribed(u, short)
	_, err := w.s.DeleteSessions(w.ctx(), u, []chat.SessionID{session}, 0)
	w.nothing(err)
	w.nothing(w.s.TouchSession(w.ctx(), short, ms(time.Minute), ms(-time.Minute))) // it has expired
	w.same("left", w.subscriptions(u), []store.Subscription{kept})
	w.session(u, token(), time.Hour) // clears expired sessions away
	w.same("left", w.subscriptions(u), []store.Subscription{kept})
}

func subscriptionOfDisabled(w *world) {
	u, session := w.loggedIn()
	w.subscribed(u, session)
	for _, disabled := range []bool{true, false} {
		must[chat.User](w)(w.s.UpdateUser(w.ctx(), u, store.UserChange{Disabled: &disabled}))
		w.same("subscriptions", w.subscriptions(u), []store.Subscription(nil))
	}
}

func subscriptionOfNobody(w *world) {
	u, session := w.loggedIn()
	other := w.user()
	expired := w.session(u, token(), -time.Hour)
	put := func(u chat.UserID, session chat.SessionID) error {
		return w.s.PutSubscription(w.ctx(), store.Subscription{
			User: u, Session: session, Endpoint: "https://push.example.org/" + unique("refused"), P256DH: "key", Auth: "auth",
		})
	}
	w.refused(put(other, session), chat.CodeUnauthenticated)
	w.refused(put(u, expired), chat.CodeUnauthenticated)
	w.refused(put(u, 1), chat.CodeUnauthenticated)
	_, err := w.s.DeleteSessions(w.ctx(), u, nil, 0)
	w.nothing(err)
	w.refused(put(u, session), chat.CodeUnauthenticated)
	w.same("subscriptions", w.subscriptions(u, other), []store.Subscription(nil))
}

func standings(w *world) {
	aki, ben, eve := w.user(), w.user(), w.user()
	g, d := w.group(aki, ben, eve), w.direct(aki, ben)
	w.sendN(g, aki, 3)
	_, _, err := w.s.Mark(w.ctx(), g, ben, 2, 3)
	w.nothing(err)
	must[store.Change](w)(w.s.RemoveMember(w.ctx(), g, aki, eve))
	title := w.summary(g, aki).Title
	key := func(c chat.ConversationID, u chat.UserID) store.MemberKey {
		return store.MemberKey{Conversation: c, User: u}
	}
	got := must[map[store.MemberKey]store.NotificationState](w)(w.s.NotificationStates(w.ctx(), []store.MemberKey{
		key(g, aki), key(g, ben), key(g, eve), key(d, ben), key(d, eve), key(1, ben), key(g, 1), key(g, ben),
	}))
	w.same("standings", got, map[store.MemberKey]store.NotificationState{
		key(g, aki): {Kind: chat.Group, Title: title},
		key(g, ben): {Kind: chat.Group, Title: title, Read: 2},
		key(d, ben): {Kind: chat.Direct},
	})
	got = must[map[store.MemberKey]store.NotificationState](w)(w.s.NotificationStates(w.ctx(), nil))
	w.same("of nobody", len(got), 0)
	must[store.Change](w)(w.s.AddMembers(w.ctx(), g, aki, []chat.UserID{eve}))
	got = must[map[store.MemberKey]store.NotificationState](w)(w.s.NotificationStates(w.ctx(), []store.MemberKey{key(g, eve)}))
	w.same("who is back has read all", got[key(g, eve)].Read, int64(3))
}

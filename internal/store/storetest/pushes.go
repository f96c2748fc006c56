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
	{name: "notification states", run: notificationStates},
}

func pushKeysOnce(f *fixture) {
	var made atomic.Int64
	keys := make([][2]string, 8)
	ask := func(i int) {
		public, private, err := f.s.PushKeys(f.ctx(), func() (string, string, error) {
			n := made.Add(1)
			return fmt.Sprint("public ", n), fmt.Sprint("private ", n), nil
		})
		if err != nil {
			f.Error(err)
		}
		keys[i] = [2]string{public, private}
	}
	parallel(f, len(keys), ask)
	first := keys[0]
	if first[0][len("public "):] != first[1][len("private "):] {
		f.Errorf("the keys are of two pairs: %v", first)
	}
	for _, k := range keys {
		f.equal("all alike", k, first)
	}
	f.reopen()
	before := made.Load()
	ask(0)
	f.equal("after a start", keys[0], first)
	f.equal("made again", made.Load(), before)
}

func pushKeysFail(f *fixture) {
	broken := errors.New("no randomness")
	_, _, err := f.s.PushKeys(f.ctx(), func() (string, string, error) { return "", "", broken })
	if !errors.Is(err, broken) {
		f.Errorf("got %v", err)
	}
	public, _, err := f.s.PushKeys(f.ctx(), func() (string, string, error) { return "public", "private", nil })
	f.noError(err)
	f.equal("the next ones", public, "public")
}

// subscribed registers a device of a session.
func (f *fixture) subscribed(u chat.UserID, session chat.SessionID) store.Subscription {
	f.Helper()
	s := store.Subscription{
		User: u, Session: session, Endpoint: "https://push.example.org/" + unique("device"), P256DH: unique("key"), Auth: unique("auth"),
	}
	f.noError(f.s.PutSubscription(f.ctx(), s))
	return s
}

func (f *fixture) loggedIn() (chat.UserID, chat.SessionID) {
	f.Helper()
	u := f.user()
	return u, f.session(u, token(), time.Hour)
}

// subscriptions returns those of the users, without their times.
func (f *fixture) subscriptions(users ...chat.UserID) []store.Subscription {
	f.Helper()
	out := must[[]store.Subscription](f)(f.s.Subscriptions(f.ctx(), users))
	for i := range out {
		f.recent("the registration", out[i].CreatedAt)
		out[i].CreatedAt = time.Time{}
	}
	return byEndpoint(out...)
}

func byEndpoint(s ...store.Subscription) []store.Subscription {
	slices.SortFunc(s, func(a, b store.Subscription) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return s
}

func subscriptionKept(f *fixture) {
	u, session := f.loggedIn()
	other, theirs := f.loggedIn()
	silent := f.user()
	want := byEndpoint(f.subscribed(u, session), f.subscribed(u, session), f.subscribed(other, theirs))
	for range 2 {
		f.equal("of two", f.subscriptions(u, silent, other, 1), want)
		f.equal("of one", len(f.subscriptions(u)), 2)
		f.equal("of none", f.subscriptions(), []store.Subscription(nil))
		f.reopen()
	}
}

func subscriptionAgain(f *fixture) {
	u, session := f.loggedIn()
	s := f.subscribed(u, session)
	s.Session, s.P256DH, s.Auth = f.session(u, token(), time.Hour), "other key", "other auth"
	f.noError(f.s.PutSubscription(f.ctx(), s))
	f.equal("subscriptions", f.subscriptions(u), []store.Subscription{s})
}

func subscriptionMoves(f *fixture) {
	u, session := f.loggedIn()
	other, theirs := f.loggedIn()
	s := f.subscribed(u, session)
	s.User, s.Session = other, theirs
	f.noError(f.s.PutSubscription(f.ctx(), s))
	f.equal("before", f.subscriptions(u), []store.Subscription(nil))
	f.equal("now", f.subscriptions(other), []store.Subscription{s})
	// What the one before ends is no longer theirs.
	f.noError(f.s.DeleteSubscription(f.ctx(), u, s.Endpoint))
	_, err := f.s.DeleteSessions(f.ctx(), u, nil, 0)
	f.noError(err)
	f.equal("still", f.subscriptions(other), []store.Subscription{s})
}

func subscriptionsBounded(f *fixture) {
	u, session := f.loggedIn()
	other, theirs := f.loggedIn()
	f.subscribed(other, theirs)
	var all []store.Subscription
	for range store.MaxSubscriptions + 1 {
		all = append(all, f.subscribed(u, session))
		nextMillisecond() // the order is by time
	}
	f.equal("the oldest is gone", f.subscriptions(u), byEndpoint(slices.Clone(all[1:])...))
	// What is registered again is the newest.
	f.noError(f.s.PutSubscription(f.ctx(), all[1]))
	nextMillisecond()
	last := f.subscribed(u, session)
	f.equal("the oldest is another", f.subscriptions(u), byEndpoint(append(slices.Clone(all[3:]), all[1], last)...))
	f.equal("of the other", len(f.subscriptions(other)), 1)
}

// nextMillisecond waits until the store's clock has advanced.
func nextMillisecond() {
	for from := ms(0); !ms(0).After(from); {
		time.Sleep(time.Millisecond)
	}
}

func subscriptionsAtOnce(f *fixture) {
	u, session := f.loggedIn()
	for range store.MaxSubscriptions - 1 {
		f.subscribed(u, session)
	}
	parallel(f, 8, func(int) {
		if err := f.s.PutSubscription(f.ctx(), store.Subscription{
			User: u, Session: session, Endpoint: unique("https://push.example.org/at-once"), P256DH: "key", Auth: "auth",
		}); err != nil {
			f.Error(err)
		}
	})
	f.equal("subscriptions", len(f.subscriptions(u)), store.MaxSubscriptions)
}

func subscriptionEnds(f *fixture) {
	u, session := f.loggedIn()
	first, second, third := f.subscribed(u, session), f.subscribed(u, session), f.subscribed(u, session)
	f.noError(f.s.DeleteSubscription(f.ctx(), u, first.Endpoint))
	f.noError(f.s.DropSubscription(f.ctx(), second.Endpoint))
	for range 2 { // again does no harm
		f.noError(f.s.DeleteSubscription(f.ctx(), u, "https://push.example.org/nobody"))
		f.noError(f.s.DropSubscription(f.ctx(), second.Endpoint))
	}
	f.equal("left", f.subscriptions(u), []store.Subscription{third})
}

func subscriptionOfSession(f *fixture) {
	u, session := f.loggedIn()
	f.subscribed(u, session)
	kept := f.subscribed(u, f.session(u, token(), time.Hour))
	short := f.session(u, token(), time.Hour)
	f.subscribed(u, short)
	_, err := f.s.DeleteSessions(f.ctx(), u, []chat.SessionID{session}, 0)
	f.noError(err)
	f.noError(f.s.TouchSession(f.ctx(), short, ms(time.Minute), ms(-time.Minute))) // it has expired
	f.equal("left", f.subscriptions(u), []store.Subscription{kept})
	f.session(u, token(), time.Hour) // clears expired sessions away
	f.equal("left", f.subscriptions(u), []store.Subscription{kept})
}

func subscriptionOfDisabled(f *fixture) {
	u, session := f.loggedIn()
	f.subscribed(u, session)
	for _, disabled := range []bool{true, false} {
		must[chat.User](f)(f.s.UpdateUser(f.ctx(), u, store.UserChange{Disabled: &disabled}))
		f.equal("subscriptions", f.subscriptions(u), []store.Subscription(nil))
	}
}

func subscriptionOfNobody(f *fixture) {
	u, session := f.loggedIn()
	other := f.user()
	expired := f.session(u, token(), -time.Hour)
	put := func(u chat.UserID, session chat.SessionID) error {
		return f.s.PutSubscription(f.ctx(), store.Subscription{
			User: u, Session: session, Endpoint: "https://push.example.org/" + unique("refused"), P256DH: "key", Auth: "auth",
		})
	}
	f.refused(put(other, session), chat.CodeUnauthenticated)
	f.refused(put(u, expired), chat.CodeUnauthenticated)
	f.refused(put(u, 1), chat.CodeUnauthenticated)
	_, err := f.s.DeleteSessions(f.ctx(), u, nil, 0)
	f.noError(err)
	f.refused(put(u, session), chat.CodeUnauthenticated)
	f.equal("subscriptions", f.subscriptions(u, other), []store.Subscription(nil))
}

func notificationStates(f *fixture) {
	aki, ben, eve := f.user(), f.user(), f.user()
	g, d := f.group(aki, ben, eve), f.direct(aki, ben)
	f.sendN(g, aki, 3)
	_, _, err := f.s.Mark(f.ctx(), g, ben, 2, 3)
	f.noError(err)
	must[store.Change](f)(f.s.RemoveMember(f.ctx(), g, aki, eve))
	title := f.summary(g, aki).Title
	key := func(c chat.ConversationID, u chat.UserID) store.MemberKey {
		return store.MemberKey{Conversation: c, User: u}
	}
	got := must[map[store.MemberKey]store.NotificationState](f)(f.s.NotificationStates(f.ctx(), []store.MemberKey{
		key(g, aki), key(g, ben), key(g, eve), key(d, ben), key(d, eve), key(1, ben), key(g, 1), key(g, ben),
	}))
	f.equal("notification states", got, map[store.MemberKey]store.NotificationState{
		key(g, aki): {Kind: chat.Group, Title: title},
		key(g, ben): {Kind: chat.Group, Title: title, Read: 2},
		key(d, ben): {Kind: chat.Direct},
	})
	got = must[map[store.MemberKey]store.NotificationState](f)(f.s.NotificationStates(f.ctx(), nil))
	f.equal("of nobody", len(got), 0)
	must[store.Change](f)(f.s.AddMembers(f.ctx(), g, aki, []chat.UserID{eve}))
	got = must[map[store.MemberKey]store.NotificationState](f)(f.s.NotificationStates(f.ctx(), []store.MemberKey{key(g, eve)}))
	f.equal("who is back has read all", got[key(g, eve)].Read, int64(3))
}

package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// watchBatch is about how many pairs of users one look-up is about.
	watchBatch = 5000
	// watchConcurrency is how many look-ups run at a time.
	watchConcurrency = 4
	// statesRetry is the wait before states that could not be read are read again.
	statesRetry = 2 * time.Second
)

// watches has the users whose presence each session watches. A session may watch
// those who share a conversation with its user (G7). That is looked up for all
// sessions together: what gathers during a look-up goes into the next ones.
//
// Changes are collected for PresenceBatchDelay, so that several changes of a user in
// a short time cost one frame.
type watches struct {
	g     *Gateway
	retry time.Duration // statesRetry
	wake  batching.Signal
	asks  *batching.Queue[*session] // with users to be looked up; each session once

	mu       sync.Mutex
	watchers map[chat.UserID]map[*session]struct{}
	pending  map[chat.UserID]*pubsub.Presence
	lookups  map[*watchLookup]struct{}
}

// watchState is what a session watches, guarded by watches.mu.
type watchState struct {
	users   []chat.UserID // watched
	asked   []chat.UserID // to be looked up
	queued  bool          // the session is in watches.asks
	list    bool          // asked is the client's latest list: it replaces users
	lists   int           // how many lists the client has sent
	applied int           // the list that users is of
}

// watchLookup is a running look-up of who may be watched.
type watchLookup struct {
	asks []watchAsk
	// Who left a conversation meanwhile, and whether anybody may have: the answer
	// about them may be outdated. Guarded by watches.mu.
	left map[chat.UserID]bool
	all  bool
}

// watchAsk is the part of a look-up that is about one session.
type watchAsk struct {
	s     *session
	users []chat.UserID // at the end those that it watches from now on
	list  bool
	lists int // as in watchState, when it was asked
}

// outdated reports whether the answer about a may be.
func (l *watchLookup) outdated(a *watchAsk) bool {
	if l.all || l.left[a.s.user] {
		return true
	}
	return len(l.left) > 0 && slices.ContainsFunc(a.users, func(user chat.UserID) bool { return l.left[user] })
}

func newWatches(g *Gateway) *watches {
	return &watches{
		g: g, retry: statesRetry, wake: batching.NewSignal(), asks: batching.NewQueue[*session](),
		watchers: map[chat.UserID]map[*session]struct{}{}, pending: map[chat.UserID]*pubsub.Presence{},
		lookups: map[*watchLookup]struct{}{},
	}
}

// replace has the session watch those of users that it may watch, in place of those
// that it watches, and sends it their states. It does not block.
func (w *watches) replace(s *session, users []chat.UserID) {
	if most := w.g.cfg.WatchUsers; len(users) > most {
		s.sendError("", chat.CodeTooLarge, fmt.Sprintf("watch: at most %d people", most))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.watchEnded {
		return
	}
	if s.watch == nil {
		s.watch = &watchState{}
	}
	s.watch.asked, s.watch.list = users, true
	s.watch.lists++
	w.ask(s)
}

// end forgets a session whose connection has closed.
func (w *watches) end(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.watchEnded = true
	if s.watch != nil {
		w.unwatch(s, s.watch.users)
		s.watch.users, s.watch.asked = nil, nil
	}
}

// ask queues the session. w.mu must be held.
func (w *watches) ask(s *session) {
	if !s.watch.queued {
		s.watch.queued = true
		w.asks.Add(s)
	}
}

// unwatch removes the session from the watchers of users. w.mu must be held.
func (w *watches) unwatch(s *session, users []chat.UserID) {
	for _, user := range users {
		delete(w.watchers[user], s)
		if len(w.watchers[user]) == 0 {
			delete(w.watchers, user)
		}
	}
}

// recheck has the session no longer watch users, until it was looked up again
// whether it may. w.mu must be held.
func (w *watches) recheck(s *session, users []chat.UserID) {
	w.unwatch(s, users)
	if len(users) == len(s.watch.users) {
		s.watch.users = nil
	} else {
		s.watch.users = slices.DeleteFunc(slices.Clone(s.watch.users), func(user chat.UserID) bool { return slices.Contains(users, user) })
	}
	if s.watch.applied == s.watch.lists { // else another list is on its way
		s.watch.asked = append(s.watch.asked, users...)
		w.ask(s)
	}
}

// lookUpAll looks up what is asked until the gateway stops.
func (w *watches) lookUpAll() {
	var group errgroup.Group
	group.SetLimit(watchConcurrency)
	for w.asks.Ready().Wait(w.g.ctx) {
		for l := w.take(); l != nil && w.g.ctx.Err() == nil; l = w.take() {
			group.Go(func() error {
				w.lookUp(l)
				return nil
			})
		}
	}
	_ = group.Wait()
}

// take begins the next look-up. It returns nil when nothing is asked.
func (w *watches) take() *watchLookup {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &watchLookup{left: map[chat.UserID]bool{}}
	for size := 0; size < watchBatch; {
		next := w.asks.Take(1)
		if len(next) == 0 {
			break
		}
		s, state := next[0], next[0].watch
		state.queued = false
		if s.watchEnded {
			continue
		}
		l.asks = append(l.asks, watchAsk{s: s, users: state.asked, list: state.list, lists: state.lists})
		size += 1 + len(state.asked)
		state.asked, state.list = nil, false
	}
	if len(l.asks) == 0 {
		return nil
	}
	w.lookups[l] = struct{}{}
	return l
}

// lookUp finds who may be watched, has the sessions watch them, and sends them their
// states. What is outdated by then is asked again (G7).
func (w *watches) lookUp(l *watchLookup) {
	ctx, cancel := context.WithTimeout(w.g.ctx, callTimeout)
	defer cancel()
	var pairs []store.UserPair
	for i := range l.asks {
		for _, user := range l.asks[i].users {
			pairs = append(pairs, store.UserPair{User: l.asks[i].s.user, Other: user})
		}
	}
	allowed, err := make([]bool, len(pairs)), error(nil)
	if len(pairs) > 0 {
		allowed, err = w.g.deps.Store.ShareConversation(ctx, pairs)
	}
	w.mu.Lock()
	delete(w.lookups, l)
	for i := range l.asks {
		a := &l.asks[i]
		if err != nil {
			a.s.watch.applied = max(a.s.watch.applied, a.lists)
			continue
		}
		w.answer(l, a, allowed[:len(a.users)])
		allowed = allowed[len(a.users):]
	}
	w.mu.Unlock()
	if err == nil {
		// Watched first, so that changes while the states are read are sent too.
		w.sendStates(ctx, l.asks)
		return
	}
	if w.g.ctx.Err() != nil {
		return
	}
	w.g.log.Error("shared conversations could not be looked up", "sessions", len(l.asks), "error", err)
	for _, a := range l.asks {
		a.s.sendError("", chat.CodeUnavailable, "presence cannot be told now")
	}
}

// answer has the session watch those that it may, and reduces a.users to them. w.mu
// must be held.
func (w *watches) answer(l *watchLookup, a *watchAsk, allowed []bool) {
	s, users := a.s, a.users
	a.users = nil
	if s.watchEnded || a.lists != s.watch.lists {
		return // the client has sent another list
	}
	if l.outdated(&watchAsk{s: s, users: users}) {
		s.watch.asked = slices.Concat(users, s.watch.asked)
		s.watch.list = s.watch.list || a.list
		w.ask(s)
		return
	}
	for i, user := range users {
		if allowed[i] {
			a.users = append(a.users, user)
		}
	}
	if a.list {
		w.unwatch(s, s.watch.users)
		s.watch.users, s.watch.applied = nil, a.lists
	}
	s.watch.users = append(s.watch.users, a.users...)
	for _, user := range a.users {
		if w.watchers[user] == nil {
			w.watchers[user] = map[*session]struct{}{}
		}
		w.watchers[user][s] = struct{}{}
	}
}

// sendStates sends each session the states of its users.
func (w *watches) sendStates(ctx context.Context, asks []watchAsk) {
	found := map[chat.UserID]*presence.State{}
	var users []chat.UserID
	for _, a := range asks {
		for _, user := range a.users {
			if _, ok := found[user]; !ok {
				found[user] = nil
				users = append(users, user)
			}
		}
	}
	if len(users) == 0 {
		return
	}
	states, err := w.g.deps.Presence.States(ctx, users)
	unknown := presence.Unknown(err, len(users))
	if len(states) != len(users) {
		states = nil
	}
	var unseen []chat.UserID // since presence began to know them
	for i := range states {
		if unknown[i] {
			continue
		}
		found[states[i].User] = &states[i]
		if states[i].Presence == chat.Offline && states[i].LastSeen.IsZero() {
			unseen = append(unseen, states[i].User)
		}
	}
	if len(unseen) > 0 {
		accounts, err := w.g.deps.Store.Users(ctx, unseen)
		if err != nil && w.g.ctx.Err() == nil {
			w.g.log.Error("accounts could not be looked up for their last-seen times", "error", err)
		}
		for i := range accounts {
			found[accounts[i].ID].LastSeen = accounts[i].LastSeen
		}
	}
	if err != nil && w.g.ctx.Err() == nil {
		w.g.log.Error("presence could not be read; it is read again", "error", err)
		w.askLater(asks, func(user chat.UserID) bool { return found[user] == nil })
	}
	for _, a := range asks {
		frame := wire.PresenceFrame{T: "presence"}
		for _, user := range a.users {
			if state := found[user]; state != nil {
				frame.States = append(frame.States, stateOf(*state))
			}
		}
		if len(frame.States) > 0 {
			a.s.push(frame)
		}
	}
}

// askLater has those of the users looked up again a little later whose states are
// lacking, for the sessions that still watch them.
func (w *watches) askLater(asks []watchAsk, lacking func(chat.UserID) bool) {
	w.g.background.Go(func() {
		sleep(w.g.ctx, w.retry)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range asks {
			if a.s.watchEnded || a.lists != a.s.watch.lists {
				continue // the client has sent another list
			}
			var again []chat.UserID
			for _, user := range a.users {
				if _, watched := w.watchers[user][a.s]; watched && lacking(user) {
					again = append(again, user)
				}
			}
			if len(again) > 0 {
				w.recheck(a.s, again)
			}
		}
	})
}

func stateOf(s presence.State) wire.PresenceState {
	return wire.PresenceState{User: s.User, State: s.Presence, LastSeen: wire.MillisOf(s.LastSeen)}
}

// changed queues a change of presence if any session watches the user.
func (w *watches) changed(p *pubsub.Presence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.watchers[p.User]) == 0 {
		return
	}
	w.pending[p.User] = p
	w.wake.Notify()
}

func (w *watches) run() {
	for w.wake.Wait(w.g.ctx) {
		select {
		case <-w.g.ctx.Done():
			return
		case <-time.After(w.g.cfg.PresenceBatchDelay):
		}
		for s, states := range w.takePending() {
			s.push(wire.PresenceFrame{T: "presence", States: states})
		}
	}
}

func (w *watches) takePending() map[*session][]wire.PresenceState {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[*session][]wire.PresenceState{}
	for user, p := range w.pending {
		state := stateOf(presence.State{User: user, Presence: p.State, LastSeen: p.LastSeen})
		for s := range w.watchers[user] {
			out[s] = append(out[s], state)
		}
	}
	clear(w.pending)
	return out
}

// membersLeft handles that users left a conversation: they, and those who watch
// them, may no longer share one (G7). They are not watched, and do not watch, until
// that was looked up again.
func (w *watches) membersLeft(users []chat.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, user := range users {
		for s := range w.watchers[user] {
			w.recheck(s, []chat.UserID{user})
		}
		for _, s := range w.g.hub.sessionsOf(user) {
			if s.watch != nil && len(s.watch.users) > 0 {
				w.recheck(s, s.watch.users)
			}
		}
		for l := range w.lookups {
			l.left[user] = true
		}
	}
}

// refreshAll handles that changes of membership may have been lost: all sessions
// watch nobody until that was looked up again.
func (w *watches) refreshAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sessions := range w.watchers {
		for s := range sessions {
			if len(s.watch.users) > 0 {
				w.recheck(s, s.watch.users)
			}
		}
	}
	for l := range w.lookups {
		l.all = true
	}
	clear(w.pending)
}

package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// watches has the users whose presence each session watches. Changes are
// collected for PresenceBatchDelay, so that several changes of a user in a short
// time cost one frame.
type watches struct {
	g    *Gateway
	wake batching.Signal

	mu       sync.Mutex
	watchers map[chat.UserID]map[*session]struct{}
	pending  map[chat.UserID]*pubsub.Presence
	lookups  map[*watchLookup]struct{}
}

// watchLookup is a running look-up of which users share a conversation with self.
type watchLookup struct {
	self  chat.UserID
	users map[chat.UserID]bool
	stale bool // somebody left a conversation meanwhile, so the answer may be outdated
}

func newWatches(g *Gateway) *watches {
	return &watches{
		g: g, wake: batching.NewSignal(),
		watchers: map[chat.UserID]map[*session]struct{}{}, pending: map[chat.UserID]*pubsub.Presence{},
		lookups: map[*watchLookup]struct{}{},
	}
}

// set replaces the users that s watches.
func (w *watches) set(s *session, users []chat.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.setLocked(s, users)
}

// setLocked is set; w.mu must be held.
func (w *watches) setLocked(s *session, users []chat.UserID) {
	for _, user := range s.watched {
		delete(w.watchers[user], s)
		if len(w.watchers[user]) == 0 {
			delete(w.watchers, user)
		}
	}
	s.watched = users
	for _, user := range users {
		if w.watchers[user] == nil {
			w.watchers[user] = map[*session]struct{}{}
		}
		w.watchers[user][s] = struct{}{}
	}
}

// replace has the session watch those of users that it may watch, and sends it
// their states.
func (w *watches) replace(ctx context.Context, s *session, users []chat.UserID) {
	if most := w.g.cfg.WatchUsers; len(users) > most {
		s.sendError("", chat.CodeTooLarge, fmt.Sprintf("watch: at most %d people", most))
		return
	}
	// Watch first, so that changes while the states are read are sent too.
	allowed, err := w.watch(ctx, s, users)
	if err != nil {
		w.g.log.Error("shared conversations could not be looked up", "user", s.user, "error", err)
		s.sendError("", chat.CodeUnavailable, "presence cannot be told now")
		return
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		w.set(s, nil)
		return
	}
	w.sendStates(ctx, s, allowed)
}

// watch finds those of users that the session may watch, which are those who
// share a conversation with its user, and has it watch them. It returns them.
// When a member was removed during the look-up, it looks up again (G7).
func (w *watches) watch(ctx context.Context, s *session, users []chat.UserID) ([]chat.UserID, error) {
	lookup := &watchLookup{self: s.user, users: make(map[chat.UserID]bool, len(users))}
	for _, user := range users {
		lookup.users[user] = true
	}
	w.mu.Lock()
	w.lookups[lookup] = struct{}{}
	w.mu.Unlock()
	for {
		allowed, err := w.g.deps.Store.SharesConversation(ctx, s.user, users)
		w.mu.Lock()
		if err == nil && lookup.stale {
			lookup.stale = false
			w.mu.Unlock()
			continue
		}
		delete(w.lookups, lookup)
		if err == nil {
			w.setLocked(s, allowed)
		}
		w.mu.Unlock()
		return allowed, err
	}
}

func (w *watches) sendStates(ctx context.Context, s *session, users []chat.UserID) {
	if len(users) == 0 {
		return
	}
	states, err := w.g.deps.Presence.States(ctx, users)
	if err != nil {
		w.g.log.Error("presence could not be read", "error", err)
		return
	}
	lastSeen := map[chat.UserID]time.Time{}
	if accounts, err := w.g.deps.Store.Users(ctx, users); err == nil {
		for _, u := range accounts {
			lastSeen[u.ID] = u.LastSeen
		}
	}
	frame := wire.PresenceFrame{T: "presence"}
	for _, state := range states {
		if state.Presence == chat.Offline && state.LastSeen.IsZero() {
			state.LastSeen = lastSeen[state.User]
		}
		frame.States = append(frame.States, stateOf(state))
	}
	s.push(frame)
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
// them, may no longer share one (G7). Affected sessions watch nobody until that
// was looked up again.
func (w *watches) membersLeft(users []chat.UserID) {
	affected := map[*session][]chat.UserID{}
	w.mu.Lock()
	for _, user := range users {
		for s := range w.watchers[user] {
			affected[s] = s.watched
		}
		for _, s := range w.g.hub.sessionsOf(user) {
			if len(s.watched) > 0 {
				affected[s] = s.watched
			}
		}
		for lookup := range w.lookups {
			lookup.stale = lookup.stale || lookup.self == user || lookup.users[user]
		}
	}
	for s := range affected {
		w.setLocked(s, nil)
	}
	w.mu.Unlock()
	for s, watched := range affected {
		w.g.background.Go(func() { w.refresh(s, watched) })
	}
}

// refreshAll handles that changes of membership may have been lost: all sessions
// watch nobody until that was looked up again, for one session after the other,
// which spreads the load.
func (w *watches) refreshAll() {
	affected := map[*session][]chat.UserID{}
	w.mu.Lock()
	for _, sessions := range w.watchers {
		for s := range sessions {
			affected[s] = s.watched
		}
	}
	for lookup := range w.lookups {
		lookup.stale = true
	}
	for s := range affected {
		w.setLocked(s, nil)
	}
	clear(w.pending)
	w.mu.Unlock()
	w.g.background.Go(func() {
		for s, watched := range affected {
			if w.g.ctx.Err() != nil {
				return
			}
			w.refresh(s, watched)
		}
	})
}

// refresh has a session watch those of users that it still may watch, unless its
// client has sent another list meanwhile.
func (w *watches) refresh(s *session, users []chat.UserID) {
	w.mu.Lock()
	replaced := s.watched != nil
	w.mu.Unlock()
	if replaced {
		return
	}
	ctx, cancel := context.WithTimeout(w.g.ctx, callTimeout)
	defer cancel()
	w.replace(ctx, s, users)
}

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

// watches knows which sessions want to know of whose presence. Changes are
// gathered for a moment, so that a person who comes and goes costs one frame.
type watches struct {
	g    *Gateway
	wake batching.Signal

	mu       sync.Mutex
	watchers map[chat.UserID]map[*session]struct{}
	pending  map[chat.UserID]*pubsub.Presence
	lookups  map[*watchLookup]struct{}
}

// watchLookup is a look-up of acquaintances under way.
type watchLookup struct {
	self  chat.UserID
	users map[chat.UserID]bool
	stale bool // somebody left a conversation meanwhile, and the answer may be older
}

func newWatches(g *Gateway) *watches {
	return &watches{
		g: g, wake: batching.NewSignal(),
		watchers: map[chat.UserID]map[*session]struct{}{}, pending: map[chat.UserID]*pubsub.Presence{},
		lookups: map[*watchLookup]struct{}{},
	}
}

// set makes users the people whom s watches.
func (w *watches) set(s *session, users []chat.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.setLocked(s, users)
}

// setLocked does it; w.mu is held.
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

// replace watches those of users whom the session may, and tells their states.
func (w *watches) replace(ctx context.Context, s *session, users []chat.UserID) {
	if most := w.g.cfg.WatchUsers; len(users) > most {
		s.sendError("", chat.CodeTooLarge, fmt.Sprintf("watch: at most %d people", most))
		return
	}
	// Watch first: what changes while the states are read is told as well.
	acquainted, err := w.watch(ctx, s, users)
	if err != nil {
		w.g.log.Error("acquaintances could not be looked up", "user", s.user, "error", err)
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
	w.sendStates(ctx, s, acquainted)
}

// watch finds those of users whom the session may watch and has it watch them.
// An answer that a removal has overtaken is asked for again (G7).
func (w *watches) watch(ctx context.Context, s *session, users []chat.UserID) ([]chat.UserID, error) {
	ask := &watchLookup{self: s.user, users: make(map[chat.UserID]bool, len(users))}
	for _, user := range users {
		ask.users[user] = true
	}
	w.mu.Lock()
	w.lookups[ask] = struct{}{}
	w.mu.Unlock()
	for {
		acquainted, err := w.g.deps.Store.SharesConversation(ctx, s.user, users)
		w.mu.Lock()
		if err == nil && ask.stale {
			ask.stale = false
			w.mu.Unlock()
			continue
		}
		delete(w.lookups, ask)
		if err == nil {
			w.setLocked(s, acquainted)
		}
		w.mu.Unlock()
		return acquainted, err
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
	seen := map[chat.UserID]time.Time{}
	if people, err := w.g.deps.Store.Users(ctx, users); err == nil {
		for _, u := range people {
			seen[u.ID] = u.LastSeen
		}
	}
	frame := wire.PresenceFrame{T: "presence"}
	for _, state := range states {
		if state.Presence == chat.Offline && state.LastSeen.IsZero() {
			state.LastSeen = seen[state.User]
		}
		frame.States = append(frame.States, stateOf(state))
	}
	s.push(frame)
}

func stateOf(s presence.State) wire.PresenceState {
	return wire.PresenceState{User: s.User, State: s.Presence, LastSeen: wire.MillisOf(s.LastSeen)}
}

// changed gathers news of a person, if anyone here wants to know.
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

// membersLeft is the news that people are out of a conversation: they, and those who
// watch them, may no longer be acquainted (G7). Until that is looked up again
// nothing more is told.
func (w *watches) membersLeft(users []chat.UserID) {
	again := map[*session][]chat.UserID{}
	w.mu.Lock()
	for _, user := range users {
		for s := range w.watchers[user] {
			again[s] = s.watched
		}
		for _, s := range w.g.hub.sessionsOf(user) {
			if len(s.watched) > 0 {
				again[s] = s.watched
			}
		}
		for ask := range w.lookups {
			ask.stale = ask.stale || ask.self == user || ask.users[user]
		}
	}
	for s := range again {
		w.setLocked(s, nil)
	}
	w.mu.Unlock()
	for s, watched := range again {
		w.g.background.Go(func() { w.refresh(s, watched) })
	}
}

// refreshAll is for when news may have been lost: nothing is told to anyone
// until it was looked up again, for one session after the other, which spreads
// the work.
func (w *watches) refreshAll() {
	again := map[*session][]chat.UserID{}
	w.mu.Lock()
	for _, sessions := range w.watchers {
		for s := range sessions {
			again[s] = s.watched
		}
	}
	for ask := range w.lookups {
		ask.stale = true
	}
	for s := range again {
		w.setLocked(s, nil)
	}
	clear(w.pending)
	w.mu.Unlock()
	w.g.background.Go(func() {
		for s, watched := range again {
			if w.g.ctx.Err() != nil {
				return
			}
			w.refresh(s, watched)
		}
	})
}

// refresh has a session watch those of users whom it still may, unless its
// client has said meanwhile whom it wants to watch.
func (w *watches) refresh(s *session, users []chat.UserID) {
	w.mu.Lock()
	said := s.watched != nil
	w.mu.Unlock()
	if said {
		return
	}
	ctx, cancel := context.WithTimeout(w.g.ctx, callTimeout)
	defer cancel()
	w.replace(ctx, s, users)
}

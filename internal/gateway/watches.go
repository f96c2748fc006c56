package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bus"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// watches knows which sessions want to know of whose presence. Changes are
// gathered for a moment, so that a person who comes and goes costs one frame.
type watches struct {
	g    *Gateway
	wake chan struct{}

	mu       sync.Mutex
	watchers map[chat.UserID]map[*session]struct{}
	news     map[chat.UserID]*bus.Presence
}

func newWatches(g *Gateway) *watches {
	return &watches{
		g: g, wake: make(chan struct{}, 1),
		watchers: map[chat.UserID]map[*session]struct{}{}, news: map[chat.UserID]*bus.Presence{},
	}
}

// set makes users the people whom s watches.
func (w *watches) set(s *session, users []chat.UserID) {
	w.mu.Lock()
	defer w.mu.Unlock()
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
		s.complain("", chat.CodeTooLarge, fmt.Sprintf("watch: at most %d people", most))
		return
	}
	acquainted, err := w.g.parts.Store.Acquainted(ctx, s.user, users)
	if err != nil {
		w.g.log.Error("acquaintances could not be looked up", "user", s.user, "error", err)
		s.complain("", chat.CodeUnavailable, "presence cannot be told now")
		return
	}
	// Watch first: what changes while the states are read is told as well.
	w.set(s, acquainted)
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		w.set(s, nil)
		return
	}
	w.tell(ctx, s, acquainted)
}

func (w *watches) tell(ctx context.Context, s *session, users []chat.UserID) {
	if len(users) == 0 {
		return
	}
	states, err := w.g.parts.Presence.States(ctx, users)
	if err != nil {
		w.g.log.Error("presence could not be read", "error", err)
		return
	}
	seen := map[chat.UserID]time.Time{}
	if people, err := w.g.parts.Store.Users(ctx, users); err == nil {
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
func (w *watches) changed(p *bus.Presence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.watchers[p.User]) == 0 {
		return
	}
	w.news[p.User] = p
	poke(w.wake)
}

func (w *watches) run() {
	for {
		select {
		case <-w.g.ctx.Done():
			return
		case <-w.wake:
		}
		select {
		case <-w.g.ctx.Done():
			return
		case <-time.After(w.g.cfg.PresenceSettle):
		}
		for s, states := range w.gathered() {
			s.push(wire.PresenceFrame{T: "presence", States: states})
		}
	}
}

func (w *watches) gathered() map[*session][]wire.PresenceState {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[*session][]wire.PresenceState{}
	for user, p := range w.news {
		state := stateOf(presence.State{User: user, Presence: p.State, LastSeen: p.LastSeen})
		for s := range w.watchers[user] {
			out[s] = append(out[s], state)
		}
	}
	clear(w.news)
	return out
}

// left is the news that people are out of a conversation: they, and those who
// watch them, may no longer be acquainted (G7). Until that is looked up again
// nothing more is told.
func (w *watches) left(users []chat.UserID) {
	again := map[*session][]chat.UserID{}
	w.mu.Lock()
	for _, user := range users {
		for s := range w.watchers[user] {
			again[s] = s.watched
		}
		for _, s := range w.g.hub.of(user) {
			if len(s.watched) > 0 {
				again[s] = s.watched
			}
		}
	}
	w.mu.Unlock()
	for s, watched := range again {
		w.set(s, nil)
		go func() {
			ctx, cancel := context.WithTimeout(w.g.ctx, callTimeout)
			defer cancel()
			w.replace(ctx, s, watched)
		}()
	}
}

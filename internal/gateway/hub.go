package gateway

import (
	"maps"
	"slices"
	"sync"

	"golang.org/x/time/rate"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// hub knows the sessions on this gateway by their user.
type hub struct {
	mu    sync.RWMutex
	users map[chat.UserID]*userSessions
	total int
}

// userSessions is a user with at least one session here.
type userSessions struct {
	sessions    []*session // replaced, never changed, so that readers need no lock
	sendLimiter *rate.Limiter
}

func newHub() *hub { return &hub{users: map[chat.UserID]*userSessions{}} }

// add makes s reachable and gives it the user's limiter.
func (h *hub) add(s *session, limiter func() *rate.Limiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.users[s.user]
	if p == nil {
		p = &userSessions{sendLimiter: limiter()}
		h.users[s.user] = p
	}
	p.sessions = append(slices.Clip(p.sessions), s)
	s.sendLimiter = p.sendLimiter
	h.total++
}

func (h *hub) remove(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.users[s.user]
	if p == nil {
		return
	}
	i := slices.Index(p.sessions, s)
	if i < 0 {
		return
	}
	h.total--
	if len(p.sessions) == 1 {
		delete(h.users, s.user)
		return
	}
	p.sessions = slices.Concat(p.sessions[:i], p.sessions[i+1:])
}

// sessionsOf gives the sessions of a user; the slice must not be changed.
func (h *hub) sessionsOf(user chat.UserID) []*session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if p := h.users[user]; p != nil {
		return p.sessions
	}
	return nil
}

func (h *hub) numSessionsOf(user chat.UserID) int { return len(h.sessionsOf(user)) }

func (h *hub) numSessions() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.total
}

// userIDs are the users with sessions here.
func (h *hub) userIDs() []chat.UserID {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Keys(h.users))
}

// each calls f for every session, without holding the lock.
func (h *hub) each(f func(*session)) {
	h.mu.RLock()
	all := make([]*session, 0, h.total)
	for _, p := range h.users {
		all = append(all, p.sessions...)
	}
	h.mu.RUnlock()
	for _, s := range all {
		f(s)
	}
}

// sessionsOfMembers gives the sessions here of members, which are sorted.
func (h *hub) sessionsOfMembers(members []chat.UserID) []*session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var found []*session
	// The shorter side is walked: a room may have many more members than
	// this gateway has people, or the other way round.
	if len(h.users) < len(members) {
		for user, p := range h.users {
			if _, ok := slices.BinarySearch(members, user); ok {
				found = append(found, p.sessions...)
			}
		}
		return found
	}
	for _, user := range members {
		if p := h.users[user]; p != nil {
			found = append(found, p.sessions...)
		}
	}
	return found
}

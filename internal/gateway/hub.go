package gateway

import (
	"slices"
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
)

// hub has the sessions of this gateway by user. It is safe for concurrent use.
type hub struct {
	mu       sync.RWMutex
	users    map[chat.UserID]*userSessions
	total    int
	reserved map[chat.UserID]int // connections that are being opened, those of nobody left out
}

// userSessions are the sessions of one user on this gateway, at least one.
type userSessions struct {
	sessions []*session // copied on write, so that readers need no lock
}

func newHub() *hub {
	return &hub{users: map[chat.UserID]*userSessions{}, reserved: map[chat.UserID]int{}}
}

// reserve has s count as one of its user's connections until it is added or
// cancelled. It reports whether the user has less than limit: connections that are
// opened at the same time count as well.
func (h *hub) reserve(s *session, limit int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.reserved[s.user]
	if u := h.users[s.user]; u != nil {
		n += len(u.sessions)
	}
	if n >= limit {
		return false
	}
	h.reserved[s.user]++
	s.reserved = true
	return true
}

// cancel ends a reservation that was not used.
func (h *hub) cancel(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endReservation(s)
}

func (h *hub) endReservation(s *session) {
	if !s.reserved {
		return
	}
	s.reserved = false
	if h.reserved[s.user]--; h.reserved[s.user] == 0 {
		delete(h.reserved, s.user)
	}
}

// add adds s.
func (h *hub) add(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endReservation(s)
	u := h.users[s.user]
	if u == nil {
		u = &userSessions{}
		h.users[s.user] = u
	}
	u.sessions = append(slices.Clip(u.sessions), s)
	h.total++
}

func (h *hub) remove(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[s.user]
	if u == nil {
		return
	}
	i := slices.Index(u.sessions, s)
	if i < 0 {
		return
	}
	h.total--
	if len(u.sessions) == 1 {
		delete(h.users, s.user)
		return
	}
	u.sessions = slices.Concat(u.sessions[:i], u.sessions[i+1:])
}

// sessionsOf returns the sessions of a user. The slice must not be changed.
func (h *hub) sessionsOf(user chat.UserID) []*session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if u := h.users[user]; u != nil {
		return u.sessions
	}
	return nil
}

func (h *hub) numSessions() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.total
}

// each calls f for every session. It does not hold the lock meanwhile.
func (h *hub) each(f func(*session)) {
	h.mu.RLock()
	all := make([]*session, 0, h.total)
	for _, u := range h.users {
		all = append(all, u.sessions...)
	}
	h.mu.RUnlock()
	for _, s := range all {
		f(s)
	}
}

// connsOfMembers returns the connections of members.
func (h *hub) connsOfMembers(members *memberList) []*websocket.Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	found := make([]*websocket.Conn, 0, min(h.total, members.size))
	// Iterate over the smaller side: a conversation may have many more members
	// than this gateway has users, or the other way round.
	if len(h.users) < members.size {
		for user, u := range h.users {
			if members.has(user) {
				found = u.appendConns(found)
			}
		}
		return found
	}
	for _, chunk := range members.chunks {
		for _, user := range chunk {
			if u := h.users[user]; u != nil {
				found = u.appendConns(found)
			}
		}
	}
	return found
}

func (u *userSessions) appendConns(conns []*websocket.Conn) []*websocket.Conn {
	for _, s := range u.sessions {
		conns = append(conns, s.conn)
	}
	return conns
}

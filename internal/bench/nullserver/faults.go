package nullserver

import "github.com/hikyaku-chat/hikyaku/internal/websocket"

// Faults make a server misbehave, so that tests can check that it is noticed.
// Each function selects by number; nil selects none. They are called
// concurrently.
type Faults struct {
	// By the seq of a message; both members are affected. It is stored in any
	// case.

	Lose      func(seq int) bool // it is not pushed
	Duplicate func(seq int) bool // it is pushed twice
	Reorder   func(seq int) bool // it is pushed after the next one
	Leak      func(seq int) bool // it is pushed to everybody else as well

	// By the number of a sync, from 1.

	Refuse func(n int) bool // it is answered with an error
	Limit  func(n int) bool // it is rate limited; the error does not say which sync
	Ignore func(n int) bool // it is not answered
}

func applies(fault func(int) bool, n int) bool { return fault != nil && fault(n) }

// pushFaulty pushes a message subject to the faults. r.mu must be held.
func (s *Server) pushFaulty(r *room, seq int, f websocket.Frame) {
	before := r.delayed
	r.delayed = nil
	switch {
	case applies(s.faults.Lose, seq):
	case applies(s.faults.Reorder, seq):
		r.delayed = f
	case applies(s.faults.Duplicate, seq):
		r.push(f)
		r.push(f)
	default:
		r.push(f)
	}
	if before != nil {
		r.push(before)
	}
	if !applies(s.faults.Leak, seq) {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, u := range s.users {
		if u != r.members[0] && u != r.members[1] {
			u.send(f)
		}
	}
}

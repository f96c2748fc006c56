package nullserver

import "github.com/hikyaku-chat/hikyaku/internal/websocket"

// Faults are what a server does wrong on purpose, so that a test can tell
// whether it is noticed. Each says of what number it is done; nil is never.
// They are called concurrently.
type Faults struct {
	// By the seq of a message; both members of its conversation are treated
	// alike. It is stored in any case.

	Lose      func(seq int) bool // it is not pushed
	Duplicate func(seq int) bool // it is pushed twice
	Reorder   func(seq int) bool // it is pushed behind the next one
	Leak      func(seq int) bool // it is pushed to everybody else as well

	// By the number of a sync, of all that came, from 1.

	Refuse func(n int) bool // it is answered with an error
	Limit  func(n int) bool // it is one too many, and the answer does not say which
	Ignore func(n int) bool // it is not answered
}

func applies(fault func(int) bool, n int) bool { return fault != nil && fault(n) }

// pushFaulty pushes a message, or does not. r.mu is held.
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

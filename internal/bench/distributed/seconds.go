package distributed

import (
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

// seconds adds up what the hands say of the same second.
type seconds struct {
	tell func(load.Second) // nil for nobody

	mu    sync.Mutex
	hands []said
}

// said is what a hand has said that is not told yet.
type said struct {
	waiting   []load.Second
	over      bool
	connected int64 // when it was over
}

func newSeconds(hands int, tell func(load.Second)) *seconds {
	return &seconds{tell: tell, hands: make([]said, hands)}
}

func (s *seconds) take(hand int, second load.Second) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.hands[hand]
	h.waiting, h.connected = append(h.waiting, second), second.Connected
	s.pass()
}

func (s *seconds) end(hand int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hands[hand].over = true
	s.pass()
}

// pass tells of the seconds of which all hands have said what they saw. One that
// is done has no part in the rest, but for its connections.
func (s *seconds) pass() {
	for {
		some := false
		for _, h := range s.hands {
			if len(h.waiting) == 0 && !h.over {
				return
			}
			some = some || len(h.waiting) > 0
		}
		if !some {
			return
		}
		var sum load.Second
		for i := range s.hands {
			h := &s.hands[i]
			if len(h.waiting) == 0 {
				sum.Connected += h.connected
				continue
			}
			sum.Add(h.waiting[0])
			h.waiting = h.waiting[1:]
		}
		if s.tell != nil {
			s.tell(sum)
		}
	}
}

package distributed

import (
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

// secondsMerger adds up what the hands say of the same second.
type secondsMerger struct {
	emit func(load.Second) // nil for nobody

	mu     sync.Mutex
	agents []pendingSeconds
}

// pendingSeconds is what a hand has said that is not told yet.
type pendingSeconds struct {
	waiting   []load.Second
	finished  bool
	connected int64 // when it was over
}

func newSecondsMerger(hands int, tell func(load.Second)) *secondsMerger {
	return &secondsMerger{emit: tell, agents: make([]pendingSeconds, hands)}
}

func (s *secondsMerger) add(hand int, second load.Second) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.agents[hand]
	h.waiting, h.connected = append(h.waiting, second), second.Connected
	s.flush()
}

func (s *secondsMerger) finish(hand int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents[hand].finished = true
	s.flush()
}

// flush tells of the seconds of which all hands have said what they saw. One that
// is done has no part in the rest, but for its connections.
func (s *secondsMerger) flush() {
	for {
		some := false
		for _, h := range s.agents {
			if len(h.waiting) == 0 && !h.finished {
				return
			}
			some = some || len(h.waiting) > 0
		}
		if !some {
			return
		}
		var sum load.Second
		for i := range s.agents {
			h := &s.agents[i]
			if len(h.waiting) == 0 {
				sum.Connected += h.connected
				continue
			}
			sum.Add(h.waiting[0])
			h.waiting = h.waiting[1:]
		}
		if s.emit != nil {
			s.emit(sum)
		}
	}
}

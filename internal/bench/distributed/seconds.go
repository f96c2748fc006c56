package distributed

import (
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

// secondsMerger adds up what the agents report for the same second.
type secondsMerger struct {
	emit func(load.Second) // may be nil

	mu     sync.Mutex
	agents []pendingSeconds
}

// pendingSeconds is what an agent has reported that is not emitted yet.
type pendingSeconds struct {
	waiting   []load.Second
	finished  bool
	connected int64 // in its last second
}

func newSecondsMerger(agents int, emit func(load.Second)) *secondsMerger {
	return &secondsMerger{emit: emit, agents: make([]pendingSeconds, agents)}
}

func (s *secondsMerger) add(agent int, second load.Second) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.agents[agent]
	p.waiting, p.connected = append(p.waiting, second), second.Connected
	s.flush()
}

func (s *secondsMerger) finish(agent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents[agent].finished = true
	s.flush()
}

// flush emits the seconds that all agents have reported. An agent that has
// finished adds nothing to the rest except its connections.
func (s *secondsMerger) flush() {
	for {
		some := false
		for _, p := range s.agents {
			if len(p.waiting) == 0 && !p.finished {
				return
			}
			some = some || len(p.waiting) > 0
		}
		if !some {
			return
		}
		var sum load.Second
		for i := range s.agents {
			p := &s.agents[i]
			if len(p.waiting) == 0 {
				sum.Connected += p.connected
				continue
			}
			sum.Add(p.waiting[0])
			p.waiting = p.waiting[1:]
		}
		if s.emit != nil {
			s.emit(sum)
		}
	}
}

package rabbitmq

import (
	"slices"
	"sync"
	"time"
)

// Every worker subscribes to every partition, and RabbitMQ lets one of them
// work: when it dies the next one goes on at once. Left alone, the worker that
// came first would have all partitions. So the workers tell each other that
// they are there, and each knows from the list of them alone which partitions
// should be its own. One that has what should be another's lets go of it, and
// stands by from then on.
//
// Nothing that matters hangs on the list: while two workers have different ones
// a partition may move once more than needed, but it never has two workers.
const (
	helloEvery = 2 * time.Second
	helloLife  = 3 * helloEvery
	// settle is how long the list must have been the same before partitions
	// are moved, so that a start of many workers moves them once.
	settle = time.Second
	// letGo is how long a worker stays away from a partition that should be
	// another's, so that the other is in line before it.
	letGo = 500 * time.Millisecond
)

// peers is the list of the workers that are there.
type peers struct {
	self string

	mu      sync.Mutex
	seen    map[string]time.Time
	changed time.Time
}

func newPeers(self string, now time.Time) *peers {
	return &peers{self: self, seen: map[string]time.Time{self: now}, changed: now}
}

// heard notes that a worker is there, or that it goes.
func (p *peers) heard(id string, goes bool, now time.Time) {
	if id == p.self {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.seen[id]
	switch {
	case goes && known:
		delete(p.seen, id)
		p.changed = now
	case goes:
	case !known:
		p.changed = now
		fallthrough
	default:
		p.seen[id] = now
	}
}

// list gives the workers in the same order everywhere, and whether that has
// been so for long enough to act on it.
func (p *peers) list(now time.Time) (ids []string, settled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, at := range p.seen {
		if id != p.self && now.Sub(at) > helloLife {
			delete(p.seen, id)
			p.changed = now
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, now.Sub(p.changed) >= settle
}

// owner is who should have a partition.
func owner(workers []string, partition int) string { return workers[partition%len(workers)] }

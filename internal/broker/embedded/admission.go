package embedded

import (
	"sync"
	"sync/atomic"
	"time"
)

// admission decides whether another submission may wait, by how long it would wait:
// not much longer than a target. How many can wait for that long follows from those
// that have waited: what had n before it and was stored after w shows that n/w are
// stored each second (Little's law), so that n·target/w may wait. A fixed number is
// wrong on every machine but one: it is a second on a slow one, and a fast one
// refuses what it could store at once.
//
// Once it refuses it goes on until half of them are stored. So refusals come in
// spells, in which little is done for each, and between which everybody's messages
// are taken again: not only those of the connections that are read first. The other
// half keeps the store busy meanwhile.
//
// enter and refusing are safe for concurrent use, as are calls of leave.
type admission struct {
	target   time.Duration
	min, max int64 // bounds of limit

	waiting atomic.Int64 // submissions that wait for their first try, or are in it
	limit   atomic.Int64 // how many may
	shut    atomic.Bool  // it refuses until half of limit wait

	mu sync.Mutex // held to set limit
}

// newAdmission returns an admission that takes min submissions at any time, max at
// most, and max until it is known how fast they are stored.
func newAdmission(target time.Duration, min, max int64) *admission {
	a := &admission{target: target, min: min, max: max}
	a.limit.Store(max)
	return a
}

// refusing reports whether enter refuses.
func (a *admission) refusing() bool { return a.refuses(a.waiting.Load()) }

// enter adds a submission to those that wait, and returns how many were there before
// it; unless it is refused.
func (a *admission) enter() (ahead int64, ok bool) {
	ahead = a.waiting.Add(1) - 1
	if a.refuses(ahead) {
		a.waiting.Add(-1)
		return 0, false
	}
	return ahead, true
}

func (a *admission) refuses(ahead int64) bool {
	limit := a.limit.Load()
	switch {
	case ahead >= limit:
		a.shut.Store(true)
		return true
	case !a.shut.Load():
		return false
	case ahead > limit/2:
		return true
	}
	a.shut.Store(false)
	return false
}

// reenter adds n submissions that were accepted before.
func (a *admission) reenter(n int) { a.waiting.Add(int64(n)) }

// leave removes n submissions that have had their first try.
func (a *admission) leave(n int) { a.waiting.Add(-int64(n)) }

// learn adjusts the limit: a submission that had some ahead of it is stored, and has
// waited.
func (a *admission) learn(ahead int64, waited time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limit := a.limit.Load()
	inTime := int64(float64(ahead) * float64(a.target) / float64(max(waited, 1)))
	switch {
	case waited > a.target:
		limit = min(limit, inTime)
	case ahead >= limit/4: // few that are stored soon say little about many
		limit += (inTime - limit) / 4
	}
	a.limit.Store(min(max(limit, a.min), a.max))
}

package notifier

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// note is what a member has missed of a conversation.
type note struct {
	store.MemberKey
	first, last int64 // seqs
	count       int
	newest      notifyqueue.Job // without its users
	since       time.Time
	tickets     []*ticket
	// Of the sender alone, once the note has left the notes that wait.
	parcels int // that are not done
}

// ticket is a delivery that is done when its last note is.
type ticket struct {
	left int
	done func()
}

// notes are those that wait for their delay, in the order in which they began.
type notes struct {
	max  int
	wake batching.Signal // when there is a first one
	room batching.Signal // when there are fewer

	mu      sync.Mutex
	waiting map[store.MemberKey]*note
	order   []*note
}

func newNotes(most int) *notes {
	return &notes{max: most, wake: batching.NewSignal(), room: batching.NewSignal(), waiting: map[store.MemberKey]*note{}}
}

func (s *notes) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order) >= s.max
}

// add notes what a delivery tells of; what is older than the given time is news
// no more.
func (s *notes) add(d notifyqueue.Delivery, oldest time.Time) {
	t := &ticket{done: d.Done}
	now := time.Now()
	s.mu.Lock()
	for _, job := range d.Jobs {
		if job.At.Before(oldest) {
			continue
		}
		users := job.Users
		job.Users = nil
		for _, user := range users {
			if user != job.Sender {
				s.addTo(store.MemberKey{Conversation: job.Conversation, User: user}, job, t, now)
			}
		}
	}
	nothing := t.left == 0
	s.mu.Unlock()
	if nothing {
		t.done()
		return
	}
	s.wake.Notify()
}

func (s *notes) addTo(k store.MemberKey, job notifyqueue.Job, t *ticket, now time.Time) {
	n := s.waiting[k]
	switch {
	case n == nil:
		n = &note{MemberKey: k, first: job.Seq, last: job.Seq, count: 1, newest: job, since: now}
		s.waiting[k] = n
		s.order = append(s.order, n)
	case job.Seq > n.last:
		n.last, n.newest = job.Seq, job
		n.count++
	case job.Seq < n.first:
		n.first = job.Seq
		n.count++
	default: // it came again
	}
	if len(n.tickets) == 0 || n.tickets[len(n.tickets)-1] != t {
		n.tickets = append(n.tickets, t)
		t.left++
	}
}

// due is when the next note's delay is over; false when there is none.
func (s *notes) due(delay time.Duration) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		return time.Time{}, false
	}
	return s.order[0].since.Add(delay), true
}

// pop takes out up to n notes whose delay is over by then.
func (s *notes) pop(by time.Time, delay time.Duration, n int) []*note {
	if now := time.Now(); now.After(by) {
		by = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	count := 0
	for count < len(s.order) && count < n && !s.order[count].since.Add(delay).After(by) {
		delete(s.waiting, s.order[count].MemberKey)
		count++
	}
	popped := append([]*note(nil), s.order[:count]...)
	clear(s.order[:count])
	if s.order = s.order[count:]; len(s.order) == 0 {
		s.order = nil
	}
	s.room.Notify()
	return popped
}

// finish says that a note, or one of its parcels, is done.
func (s *notes) finish(n *note) {
	var done []func()
	s.mu.Lock()
	if n.parcels--; n.parcels <= 0 {
		for _, t := range n.tickets {
			if t.left--; t.left == 0 {
				done = append(done, t.done)
			}
		}
		n.tickets = nil
	}
	s.mu.Unlock()
	for _, f := range done {
		f()
	}
}

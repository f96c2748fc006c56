package notifier

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// pendingNotification is what a member has missed of a conversation.
type pendingNotification struct {
	store.MemberKey
	firstSeq, lastSeq int64 // seqs
	count       int
	newestJob      notifyqueue.Job // without its users
	since       time.Time
	ackGroups     []*ackGroup
	// Of the sender alone, once the note has left the notes that wait.
	unfinished int // that are not done
}

// ackGroup is a delivery that is done when its last note is.
type ackGroup struct {
	remaining int
	ack func()
}

// pendingNotifications are those that wait for their delay, in the order in which they began.
type pendingNotifications struct {
	max  int
	ready batching.Signal // when there is a first one
	room batching.Signal // when there are fewer

	mu      sync.Mutex
	waiting map[store.MemberKey]*pendingNotification
	order   []*pendingNotification
}

func newPendingNotifications(most int) *pendingNotifications {
	return &pendingNotifications{max: most, ready: batching.NewSignal(), room: batching.NewSignal(), waiting: map[store.MemberKey]*pendingNotification{}}
}

func (s *pendingNotifications) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order) >= s.max
}

// add notes what a delivery tells of; what is older than the given time is news
// no more.
func (s *pendingNotifications) add(d notifyqueue.Delivery, oldest time.Time) {
	t := &ackGroup{ack: d.Ack}
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
	nothing := t.remaining == 0
	s.mu.Unlock()
	if nothing {
		t.ack()
		return
	}
	s.ready.Notify()
}

func (s *pendingNotifications) addTo(k store.MemberKey, job notifyqueue.Job, t *ackGroup, now time.Time) {
	n := s.waiting[k]
	switch {
	case n == nil:
		n = &pendingNotification{MemberKey: k, firstSeq: job.Seq, lastSeq: job.Seq, count: 1, newestJob: job, since: now}
		s.waiting[k] = n
		s.order = append(s.order, n)
	case job.Seq > n.lastSeq:
		n.lastSeq, n.newestJob = job.Seq, job
		n.count++
	case job.Seq < n.firstSeq:
		n.firstSeq = job.Seq
		n.count++
	default: // it came again
	}
	if len(n.ackGroups) == 0 || n.ackGroups[len(n.ackGroups)-1] != t {
		n.ackGroups = append(n.ackGroups, t)
		t.remaining++
	}
}

// nextDue is when the next note's delay is over; false when there is none.
func (s *pendingNotifications) nextDue(delay time.Duration) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		return time.Time{}, false
	}
	return s.order[0].since.Add(delay), true
}

// pop takes out up to n notes whose delay is over by then.
func (s *pendingNotifications) pop(by time.Time, delay time.Duration, n int) []*pendingNotification {
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
	popped := append([]*pendingNotification(nil), s.order[:count]...)
	clear(s.order[:count])
	if s.order = s.order[count:]; len(s.order) == 0 {
		s.order = nil
	}
	s.room.Notify()
	return popped
}

// finish says that a note, or one of its parcels, is done.
func (s *pendingNotifications) finish(n *pendingNotification) {
	var done []func()
	s.mu.Lock()
	if n.unfinished--; n.unfinished <= 0 {
		for _, t := range n.ackGroups {
			if t.remaining--; t.remaining == 0 {
				done = append(done, t.ack)
			}
		}
		n.ackGroups = nil
	}
	s.mu.Unlock()
	for _, f := range done {
		f()
	}
}

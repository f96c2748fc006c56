package notifier

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// pendingNotification is what a member has missed of a conversation. Until it is
// popped it is guarded by the mu of pendingNotifications.
type pendingNotification struct {
	store.MemberKey
	firstSeq, lastSeq int64
	count             int
	newestJob         notifyqueue.Job // without Users
	since             time.Time
	ackGroups         []*ackGroup
	// Set by dispatch after pop; guarded by mu from then on.
	unfinished int // device notifications that are not done
}

// ackGroup acknowledges a delivery when the last pending notification that it
// contributed to is done.
type ackGroup struct {
	remaining int // pending notifications
	ack       func()
}

// pendingNotifications are those that wait for their delay, oldest first. It is safe
// for concurrent use.
type pendingNotifications struct {
	limit int
	ready batching.Signal // notified when there may be one
	room  batching.Signal // notified when there may be fewer

	mu      sync.Mutex
	waiting map[store.MemberKey]*pendingNotification
	order   []*pendingNotification
}

func newPendingNotifications(limit int) *pendingNotifications {
	return &pendingNotifications{limit: limit, ready: batching.NewSignal(), room: batching.NewSignal(), waiting: map[store.MemberKey]*pendingNotification{}}
}

func (s *pendingNotifications) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order) >= s.limit
}

// add adds the jobs of a delivery. Jobs from before oldest are not relevant any more
// and are skipped.
func (s *pendingNotifications) add(d notifyqueue.Delivery, oldest time.Time) {
	g := &ackGroup{ack: d.Ack}
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
				s.addTo(store.MemberKey{Conversation: job.Conversation, User: user}, job, g, now)
			}
		}
	}
	unused := g.remaining == 0
	s.mu.Unlock()
	if unused {
		g.ack()
		return
	}
	s.ready.Notify()
}

// addTo adds a job for one member. mu is held.
func (s *pendingNotifications) addTo(k store.MemberKey, job notifyqueue.Job, g *ackGroup, now time.Time) {
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
	default: // a redelivery
	}
	if len(n.ackGroups) == 0 || n.ackGroups[len(n.ackGroups)-1] != g {
		n.ackGroups = append(n.ackGroups, g)
		g.remaining++
	}
}

// nextDue returns when the delay of the oldest one is over. It reports false when
// there is none.
func (s *pendingNotifications) nextDue(delay time.Duration) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		return time.Time{}, false
	}
	return s.order[0].since.Add(delay), true
}

// pop removes up to n of those whose delay is over by the given time, or now.
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

// finish records that a notification, or one of its device notifications, is done.
func (s *pendingNotifications) finish(n *pendingNotification) {
	var acks []func()
	s.mu.Lock()
	if n.unfinished--; n.unfinished <= 0 {
		for _, g := range n.ackGroups {
			if g.remaining--; g.remaining == 0 {
				acks = append(acks, g.ack)
			}
		}
		n.ackGroups = nil
	}
	s.mu.Unlock()
	for _, ack := range acks {
		ack()
	}
}

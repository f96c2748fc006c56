package notifier

import (
	"cmp"
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// deviceQueue is what is to be sent to one device, one notification after the other.
// When its service does not take one, the whole line rests.
type deviceQueue struct {
	deviceKey
	host string

	// Under the lock of lines.
	notifications []*deviceNotification     // that wait, the oldest first; one for each conversation
	active  bool          // by a goroutine of [run.serve]
	paused bool          // until the pause of its trouble is over
	backoff backoffState       // as of the last send
	idleElement   *list.Element // among those that are not served
}

// deviceKey is a subscription. An endpoint that moves to another user is another.
type deviceKey struct {
	user     chat.UserID
	endpoint string
}

// deviceQueues are the devices to which something is to be sent, and those that had
// trouble lately.
//
// Whoever puts a parcel in never waits. What is too much goes, the oldest of
// whoever has too much: a user with all devices, and devices that rest.
type deviceQueues struct {
	maxIdle   int // lines that are remembered for their trouble alone
	maxPerUser    int // parcels that wait for one user's devices
	maxPaused int // parcels that wait for devices that rest

	mu      sync.Mutex
	byDevice      map[deviceKey]*deviceQueue
	activeByUser   map[chat.UserID][]*deviceQueue // that are served
	idle   *list.List              // of *line, not served, the longest ago first
	pausedCount int                     // parcels in lines that rest
}

// newDeviceQueues makes lines for so many parcels.
func newDeviceQueues(open int) *deviceQueues {
	return &deviceQueues{
		maxIdle: open, maxPerUser: max(open/32, 1), maxPaused: max(open/2, 1),
		byDevice: map[deviceKey]*deviceQueue{}, activeByUser: map[chat.UserID][]*deviceQueue{}, idle: list.New(),
	}
}

// add adds a parcel to its line. The line is to be served from now on if it is
// idle. Those in out left their lines for it: superseded, or too much.
func (s *deviceQueues) add(p *deviceNotification) (l *deviceQueue, idle bool, out []*deviceNotification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := deviceKey{p.pending.User, p.subscription.Endpoint}
	l = s.byDevice[to]
	if l == nil {
		l = &deviceQueue{deviceKey: to, host: p.subscription.Host()}
		s.byDevice[to] = l
	}
	if idle = !l.active; idle {
		if l.idleElement != nil {
			s.idle.Remove(l.idleElement)
			l.idleElement = nil
		}
		l.active = true
		s.activeByUser[l.user] = append(s.activeByUser[l.user], l)
	}
	if i := l.indexOf(p.pending.Conversation); i >= 0 {
		out = append(out, s.removeAt(l, i))
	}
	s.insert(l, len(l.notifications), p)
	of, waiting := s.activeByUser[l.user], 0
	for _, l := range of {
		waiting += len(l.notifications)
	}
	if waiting > s.maxPerUser {
		// A device that takes nothing loses, not the user's others.
		longest := slices.MaxFunc(of, func(a, b *deviceQueue) int { return cmp.Compare(len(a.notifications), len(b.notifications)) })
		out = append(out, s.removeAt(longest, 0))
	}
	return l, idle, append(out, s.trimPaused(l)...)
}

// indexOf is which parcel is about a conversation; -1 when none is.
func (l *deviceQueue) indexOf(c chat.ConversationID) int {
	return slices.IndexFunc(l.notifications, func(p *deviceNotification) bool { return p.pending.Conversation == c })
}

// trimPaused takes the oldest out of a line that rests while too many wait so.
func (s *deviceQueues) trimPaused(l *deviceQueue) (out []*deviceNotification) {
	for l.paused && s.pausedCount > s.maxPaused && len(l.notifications) > 0 {
		out = append(out, s.removeAt(l, 0))
	}
	return out
}

func (s *deviceQueues) insert(l *deviceQueue, i int, p *deviceNotification) {
	l.notifications = slices.Insert(l.notifications, i, p)
	if l.paused {
		s.pausedCount++
	}
}

func (s *deviceQueues) removeAt(l *deviceQueue, i int) *deviceNotification {
	p := l.notifications[i]
	l.notifications = slices.Delete(l.notifications, i, i+1)
	if l.paused {
		s.pausedCount--
	}
	return p
}

// next is what whoever serves a line does next: nothing any more when it is
// over, otherwise rest for the pause. Those in out are given up: the pause
// outlasts them, or there are too many that rest.
func (s *deviceQueues) next(l *deviceQueue, now time.Time, giveUp time.Duration) (pause time.Duration, over bool, out []*deviceNotification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pause = max(l.backoff.retryAt.Sub(now), 0); pause > 0 {
		for i := len(l.notifications) - 1; i >= 0; i-- {
			if now.Add(pause).Sub(l.notifications[i].queuedAt) > giveUp {
				out = append(out, s.removeAt(l, i))
			}
		}
		l.paused = true
		s.pausedCount += len(l.notifications)
		out = append(out, s.trimPaused(l)...)
	}
	if len(l.notifications) > 0 {
		return pause, false, out
	}
	s.deactivate(l)
	return 0, true, out
}

// deactivate ends the service of a line that is empty. Trouble is remembered, of
// the latest.
func (s *deviceQueues) deactivate(l *deviceQueue) {
	l.active, l.paused = false, false
	of := s.activeByUser[l.user]
	if of = slices.DeleteFunc(of, func(o *deviceQueue) bool { return o == l }); len(of) == 0 {
		delete(s.activeByUser, l.user)
	} else {
		s.activeByUser[l.user] = of
	}
	if !l.backoff.failing() {
		delete(s.byDevice, l.deviceKey)
		return
	}
	l.idleElement = s.idle.PushBack(l)
	if s.idle.Len() > s.maxIdle {
		delete(s.byDevice, s.idle.Remove(s.idle.Front()).(*deviceQueue).deviceKey)
	}
}

// resume ends a line's rest. What it gives waited for that.
func (s *deviceQueues) resume(l *deviceQueue) []*deviceNotification {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pausedCount -= len(l.notifications)
	l.paused, l.backoff.retryAt = false, time.Time{}
	return slices.Clone(l.notifications)
}

// snapshot are the parcels of a line.
func (s *deviceQueues) snapshot(l *deviceQueue) []*deviceNotification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(l.notifications)
}

// pop takes the parcel out that is to be sent; nil when there is none left.
func (s *deviceQueues) pop(l *deviceQueue) *deviceNotification {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.notifications) == 0 {
		return nil
	}
	return s.removeAt(l, 0)
}

// remove takes a parcel out; false when something else did.
func (s *deviceQueues) remove(l *deviceQueue, p *deviceNotification) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(l.notifications, p)
	if i < 0 {
		return false
	}
	s.removeAt(l, i)
	return true
}

// succeeded says that the service of a line answers.
func (s *deviceQueues) succeeded(l *deviceQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.backoff = backoffState{}
}

// failed says that a parcel was not taken. It is again the next one, unless a
// newer one about its conversation came meanwhile. When the subscription is to
// end, so do all parcels of its line. Those in out are in no line any more.
func (s *deviceQueues) failed(l *deviceQueue, p *deviceNotification, now time.Time, wish time.Duration, taken int64) (end bool, out []*deviceNotification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case l.backoff.recordFailure(now, wish, taken):
		out, l.notifications, l.backoff = append(l.notifications, p), nil, backoffState{}
		return true, out
	case l.indexOf(p.pending.Conversation) >= 0:
		return false, []*deviceNotification{p}
	}
	s.insert(l, 0, p)
	return false, nil
}

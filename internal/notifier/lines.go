package notifier

import (
	"cmp"
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// line is what is to be sent to one device, one notification after the other.
// When its service does not take one, the whole line rests.
type line struct {
	device
	host string

	// Under the lock of lines.
	parcels []*parcel     // that wait, the oldest first; one for each conversation
	served  bool          // by a goroutine of [run.serve]
	resting bool          // until the pause of its trouble is over
	trouble trouble       // as of the last send
	quiet   *list.Element // among those that are not served
}

// device is a subscription. An endpoint that moves to another user is another.
type device struct {
	user     chat.UserID
	endpoint string
}

// lines are the devices to which something is to be sent, and those that had
// trouble lately.
//
// Whoever puts a parcel in never waits. What is too much goes, the oldest of
// whoever has too much: a user with all devices, and devices that rest.
type lines struct {
	quietMost   int // lines that are remembered for their trouble alone
	userMost    int // parcels that wait for one user's devices
	restingMost int // parcels that wait for devices that rest

	mu      sync.Mutex
	by      map[device]*line
	users   map[chat.UserID][]*line // that are served
	quiet   *list.List              // of *line, not served, the longest ago first
	resting int                     // parcels in lines that rest
}

// newLines makes lines for so many parcels.
func newLines(open int) *lines {
	return &lines{
		quietMost: open, userMost: max(open/32, 1), restingMost: max(open/2, 1),
		by: map[device]*line{}, users: map[chat.UserID][]*line{}, quiet: list.New(),
	}
}

// put adds a parcel to its line. The line is to be served from now on if it is
// idle. Those in out left their lines for it: superseded, or too much.
func (s *lines) put(p *parcel) (l *line, idle bool, out []*parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := device{p.note.User, p.to.Endpoint}
	l = s.by[to]
	if l == nil {
		l = &line{device: to, host: p.to.Host()}
		s.by[to] = l
	}
	if idle = !l.served; idle {
		if l.quiet != nil {
			s.quiet.Remove(l.quiet)
			l.quiet = nil
		}
		l.served = true
		s.users[l.user] = append(s.users[l.user], l)
	}
	if i := l.about(p.note.Conversation); i >= 0 {
		out = append(out, s.take(l, i))
	}
	s.insert(l, len(l.parcels), p)
	of, waiting := s.users[l.user], 0
	for _, l := range of {
		waiting += len(l.parcels)
	}
	if waiting > s.userMost {
		// A device that takes nothing loses, not the user's others.
		longest := slices.MaxFunc(of, func(a, b *line) int { return cmp.Compare(len(a.parcels), len(b.parcels)) })
		out = append(out, s.take(longest, 0))
	}
	return l, idle, append(out, s.crowded(l)...)
}

// about is which parcel is about a conversation; -1 when none is.
func (l *line) about(c chat.ConversationID) int {
	return slices.IndexFunc(l.parcels, func(p *parcel) bool { return p.note.Conversation == c })
}

// crowded takes the oldest out of a line that rests while too many wait so.
func (s *lines) crowded(l *line) (out []*parcel) {
	for l.resting && s.resting > s.restingMost && len(l.parcels) > 0 {
		out = append(out, s.take(l, 0))
	}
	return out
}

func (s *lines) insert(l *line, i int, p *parcel) {
	l.parcels = slices.Insert(l.parcels, i, p)
	if l.resting {
		s.resting++
	}
}

func (s *lines) take(l *line, i int) *parcel {
	p := l.parcels[i]
	l.parcels = slices.Delete(l.parcels, i, i+1)
	if l.resting {
		s.resting--
	}
	return p
}

// turn is what whoever serves a line does next: nothing any more when it is
// over, otherwise rest for the pause. Those in out are given up: the pause
// outlasts them, or there are too many that rest.
func (s *lines) turn(l *line, now time.Time, giveUp time.Duration) (pause time.Duration, over bool, out []*parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pause = max(l.trouble.until.Sub(now), 0); pause > 0 {
		for i := len(l.parcels) - 1; i >= 0; i-- {
			if now.Add(pause).Sub(l.parcels[i].since) > giveUp {
				out = append(out, s.take(l, i))
			}
		}
		l.resting = true
		s.resting += len(l.parcels)
		out = append(out, s.crowded(l)...)
	}
	if len(l.parcels) > 0 {
		return pause, false, out
	}
	s.leave(l)
	return 0, true, out
}

// leave ends the service of a line that is empty. Trouble is remembered, of
// the latest.
func (s *lines) leave(l *line) {
	l.served, l.resting = false, false
	of := s.users[l.user]
	if of = slices.DeleteFunc(of, func(o *line) bool { return o == l }); len(of) == 0 {
		delete(s.users, l.user)
	} else {
		s.users[l.user] = of
	}
	if !l.trouble.any() {
		delete(s.by, l.device)
		return
	}
	l.quiet = s.quiet.PushBack(l)
	if s.quiet.Len() > s.quietMost {
		delete(s.by, s.quiet.Remove(s.quiet.Front()).(*line).device)
	}
}

// wake ends a line's rest. What it gives waited for that.
func (s *lines) wake(l *line) []*parcel {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resting -= len(l.parcels)
	l.resting, l.trouble.until = false, time.Time{}
	return slices.Clone(l.parcels)
}

// waiting are the parcels of a line.
func (s *lines) waiting(l *line) []*parcel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(l.parcels)
}

// next takes the parcel out that is to be sent; nil when there is none left.
func (s *lines) next(l *line) *parcel {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.parcels) == 0 {
		return nil
	}
	return s.take(l, 0)
}

// remove takes a parcel out; false when something else did.
func (s *lines) remove(l *line, p *parcel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(l.parcels, p)
	if i < 0 {
		return false
	}
	s.take(l, i)
	return true
}

// answered says that the service of a line answers.
func (s *lines) answered(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.trouble = trouble{}
}

// failed says that a parcel was not taken. It is again the next one, unless a
// newer one about its conversation came meanwhile. When the subscription is to
// end, so do all parcels of its line. Those in out are in no line any more.
func (s *lines) failed(l *line, p *parcel, now time.Time, wish time.Duration, taken int64) (end bool, out []*parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case l.trouble.fail(now, wish, taken):
		out, l.parcels, l.trouble = append(l.parcels, p), nil, trouble{}
		return true, out
	case l.about(p.note.Conversation) >= 0:
		return false, []*parcel{p}
	}
	s.insert(l, 0, p)
	return false, nil
}

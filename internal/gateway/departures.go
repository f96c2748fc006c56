package gateway

import (
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

const (
	// maxDepartures is how many departures are remembered: half a megabyte. The
	// oldest is forgotten for a new one.
	maxDepartures = 10_000
	// departureMemory is how long a departure is remembered at least. What is
	// forgotten sooner is made up for by looking at the members of each
	// conversation. No frame waits for so long between the worker and here,
	// unless a process was stopped.
	departureMemory = time.Minute
)

// departures remembers who has left which conversation, so that frames that were
// sent before, and waited on their way, do not reach them any more (G7).
//
// A frame that arrives before its gateway knows of the departure is delivered.
// The announcement of a departure is published before the change is answered, on
// the channel of all nodes, where it overtakes what waits for single nodes: it is
// known here long before the second that such frames have.
//
// When announcements were lost, or there were too many, it is uncertain who has
// left. Then frames of small conversations are delivered as those of large ones
// are, to those who are in a list of members that was read since. While the bus
// has not noticed its loss yet (pubsub.GapLatency, or pubsub.InterruptionLatency),
// only frames that wait for as long come through.
//
// It is safe for concurrent use.
type departures struct {
	mu    sync.Mutex
	left  map[chat.ConversationID][]departure
	order []departure // the same, oldest first
	// uncertainUntil is when frames that were sent before the last loss have
	// arrived; zero without a loss.
	uncertainUntil time.Time
}

// departure says that a user left a conversation. Frames for memberships before
// rev are not for them.
type departure struct {
	conversation chat.ConversationID
	user         chat.UserID
	rev          int64
	at           time.Time // when it became known here
}

func newDepartures() *departures {
	return &departures{left: map[chat.ConversationID][]departure{}}
}

// add remembers the departures of a change of membership.
func (d *departures) add(m *pubsub.Membership, now time.Time) {
	if len(m.Left) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, user := range m.Left {
		if len(d.order) >= maxDepartures {
			if now.Sub(d.order[0].at) < departureMemory {
				d.uncertainUntil = now.Add(departureMemory)
			}
			d.forgetOldest()
		}
		of := departure{conversation: m.Conversation, user: user, rev: m.MembersRev, at: now}
		d.order = append(d.order, of)
		d.left[m.Conversation] = append(d.left[m.Conversation], of)
	}
}

// forgetOldest forgets the oldest departure. d.mu must be held.
func (d *departures) forgetOldest() {
	id := d.order[0].conversation
	d.order = d.order[1:]
	// Those of one conversation are in the same order.
	if rest := d.left[id][1:]; len(rest) > 0 {
		d.left[id] = rest
	} else {
		delete(d.left, id)
	}
}

// lost records that departures may not have become known.
func (d *departures) lost(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uncertainUntil = now.Add(departureMemory)
}

// reset forgets everything, because revs may have gone back.
func (d *departures) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.left)
	d.order = nil
}

// of returns who has left a conversation. certain is false when it may be more.
func (d *departures) of(id chat.ConversationID) (left []departure, certain bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.uncertainUntil.IsZero() {
		if time.Now().Before(d.uncertainUntil) {
			return nil, false
		}
		d.uncertainUntil = time.Time{}
	}
	// The slice is only appended to, and cut at its beginning.
	return d.left[id], true
}

// hasLeft reports whether a user has left since the membership of rev.
func hasLeft(left []departure, user chat.UserID, rev int64) bool {
	for i := range left {
		if left[i].user == user && left[i].rev > rev {
			return true
		}
	}
	return false
}

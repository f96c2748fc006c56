package notifier

import (
	"cmp"
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// deviceQueue is the notifications to be sent to one device, one after the other. When
// its service accepts none, the whole queue is paused.
type deviceQueue struct {
	deviceKey
	host string

	// Guarded by the mu of deviceQueues.
	notifications []*deviceNotification // to be sent, oldest first; at most one for each conversation
	active        bool                  // a goroutine runs [worker.serve] for it
	paused        bool                  // until backoff.retryAt
	backoff       backoffState          // after the last send
	idleElement   *list.Element         // in deviceQueues.idle; nil when active
}

// deviceKey identifies a device. An endpoint that moves to another user is another
// device.
type deviceKey struct {
	user     chat.UserID
	endpoint string
}

// deviceQueues are the queues of the devices that have notifications, and of those
// whose last send failed. It is safe for concurrent use.
//
// Adding never waits. When there are too many, the oldest notification is dropped: of
// a user, over all devices, or of a paused device.
type deviceQueues struct {
	maxIdle    int // inactive queues that are kept for their backoff state
	maxPerUser int // notifications queued for one user's devices
	maxPaused  int // notifications queued for paused devices

	mu           sync.Mutex
	byDevice     map[deviceKey]*deviceQueue
	activeByUser map[chat.UserID][]*deviceQueue // active queues
	idle         *list.List                     // of *deviceQueue, inactive, least recently used first
	pausedCount  int                            // notifications in paused queues
}

// newDeviceQueues returns queues for about maxQueued notifications in all.
func newDeviceQueues(maxQueued int) *deviceQueues {
	return &deviceQueues{
		maxIdle: maxQueued, maxPerUser: max(maxQueued/32, 1), maxPaused: max(maxQueued/2, 1),
		byDevice: map[deviceKey]*deviceQueue{}, activeByUser: map[chat.UserID][]*deviceQueue{}, idle: list.New(),
	}
}

// add adds a notification to the queue of its device. When start is true the caller
// must start [worker.serve] for the queue. It returns the notifications that it dropped:
// superseded ones, and the oldest when there are too many.
func (qs *deviceQueues) add(d *deviceNotification) (q *deviceQueue, start bool, dropped []*deviceNotification) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	to := deviceKey{d.pending.User, d.subscription.Endpoint}
	q = qs.byDevice[to]
	if q == nil {
		q = &deviceQueue{deviceKey: to, host: d.subscription.Host()}
		qs.byDevice[to] = q
	}
	if start = !q.active; start {
		if q.idleElement != nil {
			qs.idle.Remove(q.idleElement)
			q.idleElement = nil
		}
		q.active = true
		qs.activeByUser[q.user] = append(qs.activeByUser[q.user], q)
	}
	if i := q.indexOf(d.pending.Conversation); i >= 0 {
		dropped = append(dropped, qs.removeAt(q, i))
	}
	qs.insert(q, len(q.notifications), d)
	active, waiting := qs.activeByUser[q.user], 0
	for _, q := range active {
		waiting += len(q.notifications)
	}
	if waiting > qs.maxPerUser {
		// The longest queue loses: a device that accepts nothing, not the others.
		longest := slices.MaxFunc(active, func(a, b *deviceQueue) int { return cmp.Compare(len(a.notifications), len(b.notifications)) })
		dropped = append(dropped, qs.removeAt(longest, 0))
	}
	return q, start, append(dropped, qs.trimPaused(q)...)
}

// indexOf returns the index of the notification of a conversation, or -1.
func (q *deviceQueue) indexOf(c chat.ConversationID) int {
	return slices.IndexFunc(q.notifications, func(d *deviceNotification) bool { return d.pending.Conversation == c })
}

// trimPaused removes the oldest notifications of a paused queue while there are more
// than maxPaused. mu is held.
func (qs *deviceQueues) trimPaused(q *deviceQueue) (dropped []*deviceNotification) {
	for q.paused && qs.pausedCount > qs.maxPaused && len(q.notifications) > 0 {
		dropped = append(dropped, qs.removeAt(q, 0))
	}
	return dropped
}

// insert and removeAt keep pausedCount. mu is held.
func (qs *deviceQueues) insert(q *deviceQueue, i int, d *deviceNotification) {
	q.notifications = slices.Insert(q.notifications, i, d)
	if q.paused {
		qs.pausedCount++
	}
}

func (qs *deviceQueues) removeAt(q *deviceQueue, i int) *deviceNotification {
	d := q.notifications[i]
	q.notifications = slices.Delete(q.notifications, i, i+1)
	if q.paused {
		qs.pausedCount--
	}
	return d
}

// next returns what serve does next with a queue: stop when it is done, otherwise
// pause for the given time and send. It returns the notifications that it dropped: those
// that would be older than giveUp after the pause, and those of too many paused ones.
func (qs *deviceQueues) next(q *deviceQueue, now time.Time, giveUp time.Duration) (pause time.Duration, done bool, dropped []*deviceNotification) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if pause = max(q.backoff.retryAt.Sub(now), 0); pause > 0 {
		for i := len(q.notifications) - 1; i >= 0; i-- {
			if now.Add(pause).Sub(q.notifications[i].queuedAt) > giveUp {
				dropped = append(dropped, qs.removeAt(q, i))
			}
		}
		q.paused = true
		qs.pausedCount += len(q.notifications)
		dropped = append(dropped, qs.trimPaused(q)...)
	}
	if len(q.notifications) > 0 {
		return pause, false, dropped
	}
	qs.deactivate(q)
	return 0, true, dropped
}

// deactivate marks an empty queue as not served. Its backoff state is kept unless newer
// ones exceed maxIdle. mu is held.
func (qs *deviceQueues) deactivate(q *deviceQueue) {
	q.active, q.paused = false, false
	active := qs.activeByUser[q.user]
	if active = slices.DeleteFunc(active, func(o *deviceQueue) bool { return o == q }); len(active) == 0 {
		delete(qs.activeByUser, q.user)
	} else {
		qs.activeByUser[q.user] = active
	}
	if !q.backoff.failing() {
		delete(qs.byDevice, q.deviceKey)
		return
	}
	q.idleElement = qs.idle.PushBack(q)
	if qs.idle.Len() > qs.maxIdle {
		delete(qs.byDevice, qs.idle.Remove(qs.idle.Front()).(*deviceQueue).deviceKey)
	}
}

// resume ends the pause of a queue and returns its notifications.
func (qs *deviceQueues) resume(q *deviceQueue) []*deviceNotification {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	qs.pausedCount -= len(q.notifications)
	q.paused, q.backoff.retryAt = false, time.Time{}
	return slices.Clone(q.notifications)
}

// snapshot returns the notifications of a queue.
func (qs *deviceQueues) snapshot(q *deviceQueue) []*deviceNotification {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	return slices.Clone(q.notifications)
}

// pop removes and returns the next notification, or nil when there is none.
func (qs *deviceQueues) pop(q *deviceQueue) *deviceNotification {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if len(q.notifications) == 0 {
		return nil
	}
	return qs.removeAt(q, 0)
}

// remove removes a notification. It reports false when it is not in the queue any
// more.
func (qs *deviceQueues) remove(q *deviceQueue, d *deviceNotification) bool {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	i := slices.Index(q.notifications, d)
	if i < 0 {
		return false
	}
	qs.removeAt(q, i)
	return true
}

// succeeded resets the backoff state: the service answers.
func (qs *deviceQueues) succeeded(q *deviceQueue) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	q.backoff = backoffState{}
}

// failed puts a notification that was not accepted back to the front, unless a newer one
// of its conversation was added meanwhile, and starts a pause. dropSubscription reports
// whether the subscription is to be dropped; the queue is emptied then. It returns the
// notifications that it dropped.
func (qs *deviceQueues) failed(q *deviceQueue, d *deviceNotification, now time.Time, retryAfter time.Duration, accepted int64) (dropSubscription bool, dropped []*deviceNotification) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	switch {
	case q.backoff.recordFailure(now, retryAfter, accepted):
		dropped, q.notifications, q.backoff = append(q.notifications, d), nil, backoffState{}
		return true, dropped
	case q.indexOf(d.pending.Conversation) >= 0:
		return false, []*deviceNotification{d}
	}
	qs.insert(q, 0, d)
	return false, nil
}

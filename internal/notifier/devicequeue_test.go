package notifier

import (
	"fmt"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

var now = time.Unix(1_700_000_000, 0)

func newTestNotification(user chat.UserID, endpoint string, c chat.ConversationID) *deviceNotification {
	n := &pendingNotification{MemberKey: store.MemberKey{Conversation: c, User: user}}
	return &deviceNotification{pending: n, subscription: webpush.Subscription{Endpoint: endpoint}, queuedAt: now}
}

// newPausedQueue returns a paused queue with a notification in it.
func newPausedQueue(t *testing.T, s *deviceQueues, user chat.UserID, endpoint string) *deviceQueue {
	t.Helper()
	p := newTestNotification(user, endpoint, 1)
	l, idle, _ := s.add(p)
	if !idle || s.pop(l) != p {
		t.Fatal("the queue is not a new one")
	}
	if end, out := s.failed(l, p, now, 0, 0); end || len(out) > 0 {
		t.Fatal("one failure drops the subscription")
	}
	if pause, over, _ := s.next(l, now, time.Hour); pause == 0 || over {
		t.Fatal("it is not paused")
	}
	return l
}

func TestNewerNotificationReplacesOneOfItsConversation(t *testing.T) {
	s := newDeviceQueues(4096)
	first, other, second := newTestNotification(1, "a", 1), newTestNotification(1, "a", 2), newTestNotification(1, "a", 1)
	l, _, _ := s.add(first)
	s.add(other)
	if _, idle, out := s.add(second); idle || len(out) != 1 || out[0] != first {
		t.Errorf("%v, %v", idle, out)
	}
	if a, b, c := s.pop(l), s.pop(l), s.pop(l); a != other || b != second || c != nil {
		t.Error("another order")
	}
	// Also one that was not accepted.
	s.add(second)
	s.pop(l)
	s.add(first)
	if _, out := s.failed(l, second, now, 0, 0); len(out) != 1 || out[0] != second {
		t.Errorf("%v", out)
	}
}

func TestLongestQueueOfAUserLoses(t *testing.T) {
	s := newDeviceQueues(320) // 10 for each user
	var long []*deviceNotification
	for i := range 8 {
		p := newTestNotification(1, "long", chat.ConversationID(1+i))
		long = append(long, p)
		if _, _, out := s.add(p); len(out) > 0 {
			t.Fatal("too early")
		}
	}
	var lost []*deviceNotification
	for i := range 5 {
		_, _, out := s.add(newTestNotification(1, fmt.Sprint("short ", i), 1))
		lost = append(lost, out...)
	}
	if _, _, out := s.add(newTestNotification(2, "another user's", 1)); len(out) > 0 {
		t.Error("another user loses")
	}
	if len(lost) != 3 || lost[0] != long[0] || lost[2] != long[2] {
		t.Errorf("%d are lost", len(lost))
	}
}

func TestNotificationsForPausedDevicesAreBounded(t *testing.T) {
	s := newDeviceQueues(8)
	var all []*deviceQueue
	for i := range 4 {
		all = append(all, newPausedQueue(t, s, chat.UserID(1+i), "a"))
	}
	p := newTestNotification(5, "a", 1)
	l, _, out := s.add(p)
	if len(out) > 0 {
		t.Error("a device that is not paused loses")
	}
	s.pop(l)
	s.failed(l, p, now, 0, 0)
	if _, over, out := s.next(l, now, time.Hour); !over || len(out) != 1 || out[0] != p {
		t.Errorf("%v, %v", over, out)
	}
	for _, l := range all {
		s.resume(l)
	}
	if s.pausedCount != 0 {
		t.Errorf("%d notifications are paused", s.pausedCount)
	}
}

// Notifications that would be too old after a pause are dropped, and the backoff state
// is kept.
func TestPauseOutlastsNotifications(t *testing.T) {
	s := newDeviceQueues(8)
	p := newTestNotification(1, "a", 1)
	l, _, _ := s.add(p)
	s.pop(l)
	s.failed(l, p, now, time.Hour, 0)
	if _, over, out := s.next(l, now, time.Minute); !over || len(out) != 1 {
		t.Errorf("%v, %v", over, out)
	}
	p = newTestNotification(1, "a", 1)
	p.queuedAt = now.Add(time.Hour - 30*time.Second)
	if again, idle, _ := s.add(p); again != l || !idle {
		t.Error("the device is forgotten")
	}
	if pause, over, out := s.next(l, p.queuedAt, time.Minute); pause != 30*time.Second || over || len(out) > 0 {
		t.Errorf("%v, %v, %v", pause, over, out)
	}
}

// There may be any number of devices, failing and not.
func TestDevicesAreForgotten(t *testing.T) {
	s := newDeviceQueues(8)
	for i := range 100 {
		user := chat.UserID(1 + i)
		l := newPausedQueue(t, s, user, "failing")
		s.resume(l)
		s.pop(l)
		s.next(l, now, time.Hour)
		l, _, _ = s.add(newTestNotification(user, "working", 1))
		s.pop(l)
		s.succeeded(l)
		s.next(l, now, time.Hour)
	}
	if len(s.byDevice) != 8 || s.idle.Len() != 8 || len(s.activeByUser) != 0 || s.pausedCount != 0 {
		t.Errorf("%d devices, %d idle, %d users, %d paused", len(s.byDevice), s.idle.Len(), len(s.activeByUser), s.pausedCount)
	}
	for i := 92; i < 100; i++ {
		if s.byDevice[deviceKey{chat.UserID(1 + i), "failing"}] == nil {
			t.Error("one of the latest is forgotten")
		}
	}
}

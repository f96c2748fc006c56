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

func parcelFor(user chat.UserID, endpoint string, c chat.ConversationID) *parcel {
	n := &note{MemberKey: store.MemberKey{Conversation: c, User: user}}
	return &parcel{note: n, to: webpush.Subscription{Endpoint: endpoint}, since: now}
}

// rested is a line that rests with a parcel in it.
func rested(t *testing.T, s *lines, user chat.UserID, endpoint string) *line {
	t.Helper()
	p := parcelFor(user, endpoint, 1)
	l, idle, _ := s.put(p)
	if !idle || s.next(l) != p {
		t.Fatal("the line is not a new one")
	}
	if end, out := s.failed(l, p, now, 0, 0); end || len(out) > 0 {
		t.Fatal("one failure is the end")
	}
	if pause, over, _ := s.turn(l, now, time.Hour); pause == 0 || over {
		t.Fatal("it does not rest")
	}
	return l
}

func TestANewerParcelReplacesItsConversations(t *testing.T) {
	s := newLines(4096)
	first, other, second := parcelFor(1, "a", 1), parcelFor(1, "a", 2), parcelFor(1, "a", 1)
	l, _, _ := s.put(first)
	s.put(other)
	if _, idle, out := s.put(second); idle || len(out) != 1 || out[0] != first {
		t.Errorf("%v, %v", idle, out)
	}
	if a, b, c := s.next(l), s.next(l), s.next(l); a != other || b != second || c != nil {
		t.Error("another order")
	}
	// Also one that was not taken.
	s.put(second)
	s.next(l)
	s.put(first)
	if _, out := s.failed(l, second, now, 0, 0); len(out) != 1 || out[0] != second {
		t.Errorf("%v", out)
	}
}

func TestAUsersLongestLineLoses(t *testing.T) {
	s := newLines(320) // 10 for each user
	var long []*parcel
	for i := range 8 {
		p := parcelFor(1, "long", chat.ConversationID(1+i))
		long = append(long, p)
		if _, _, out := s.put(p); len(out) > 0 {
			t.Fatal("too early")
		}
	}
	var lost []*parcel
	for i := range 5 {
		_, _, out := s.put(parcelFor(1, fmt.Sprint("short ", i), 1))
		lost = append(lost, out...)
	}
	if _, _, out := s.put(parcelFor(2, "another user's", 1)); len(out) > 0 {
		t.Error("another user loses")
	}
	if len(lost) != 3 || lost[0] != long[0] || lost[2] != long[2] {
		t.Errorf("%d are lost", len(lost))
	}
}

func TestOnlySoManyWaitForDevicesThatRest(t *testing.T) {
	s := newLines(8)
	var all []*line
	for i := range 4 {
		all = append(all, rested(t, s, chat.UserID(1+i), "a"))
	}
	p := parcelFor(5, "a", 1)
	l, _, out := s.put(p)
	if len(out) > 0 {
		t.Error("a device that does not rest loses")
	}
	s.next(l)
	s.failed(l, p, now, 0, 0)
	if _, over, out := s.turn(l, now, time.Hour); !over || len(out) != 1 || out[0] != p {
		t.Errorf("%v, %v", over, out)
	}
	for _, l := range all {
		s.wake(l)
	}
	if s.resting != 0 {
		t.Errorf("%d rest", s.resting)
	}
}

// What a pause outlasts is given up, and the device stays known.
func TestARestOutlastsParcels(t *testing.T) {
	s := newLines(8)
	p := parcelFor(1, "a", 1)
	l, _, _ := s.put(p)
	s.next(l)
	s.failed(l, p, now, time.Hour, 0)
	if _, over, out := s.turn(l, now, time.Minute); !over || len(out) != 1 {
		t.Errorf("%v, %v", over, out)
	}
	p = parcelFor(1, "a", 1)
	p.since = now.Add(time.Hour - 30*time.Second)
	if again, idle, _ := s.put(p); again != l || !idle {
		t.Error("the device is forgotten")
	}
	if pause, over, out := s.turn(l, p.since, time.Minute); pause != 30*time.Second || over || len(out) > 0 {
		t.Errorf("%v, %v, %v", pause, over, out)
	}
}

// There may be any number of devices, in trouble and without.
func TestDevicesAreForgotten(t *testing.T) {
	s := newLines(8)
	for i := range 100 {
		user := chat.UserID(1 + i)
		l := rested(t, s, user, "trouble")
		s.wake(l)
		s.next(l)
		s.turn(l, now, time.Hour)
		l, _, _ = s.put(parcelFor(user, "none", 1))
		s.next(l)
		s.answered(l)
		s.turn(l, now, time.Hour)
	}
	if len(s.by) != 8 || s.quiet.Len() != 8 || len(s.users) != 0 || s.resting != 0 {
		t.Errorf("%d devices, %d quiet, %d users, %d rest", len(s.by), s.quiet.Len(), len(s.users), s.resting)
	}
	for i := 92; i < 100; i++ {
		if s.by[device{chat.UserID(1 + i), "trouble"}] == nil {
			t.Error("one of the latest is forgotten")
		}
	}
}

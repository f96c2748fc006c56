package notifier_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

const (
	aki, ben, eve = chat.UserID(1), chat.UserID(2), chat.UserID(3)
	bens, eves    = "https://bens.example/x", "https://eves.example/x"
)

// publishEvery says something to Ben, and to Eve if she is told, every so often.
func (w *simFixture) publishEvery(during, every time.Duration, told ...chat.UserID) {
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(every) {
		for _, user := range told {
			w.publish(w.missedJob(aki, chat.ConversationID(user), user))
		}
	}
}

// Nothing is sent to a device before its pause is over, which grows from one
// failure to the next, whatever is said meanwhile; once it takes something, all
// is as before.
func TestPausesGrowUntilADeviceAnswers(t *testing.T) {
	simulate(t, func(w *simFixture) {
		var back atomic.Bool
		w.setService("bens.example", func() error {
			if back.Load() {
				return nil
			}
			return timeoutService()
		})
		w.subscribe(ben, bens)
		w.publishEvery(2*time.Hour, 5*time.Second, ben)
		pause := time.Second
		tries := w.sendsTo(bens)
		for i, s := range tries[1:] {
			// A pause is spread over the second half of its length.
			if rest := s.at - tries[i].at - 10*time.Second; rest < pause/2 {
				w.Errorf("failure %d was followed by a rest of %v, not of %v at least", i+1, rest, pause/2)
			}
			pause = min(2*pause, 10*time.Minute)
		}
		if n := len(tries); n < 20 || n > 40 {
			w.Errorf("%d attempts in two hours", n)
		}
		back.Store(true)
		w.publishEvery(11*time.Minute, time.Minute, ben)
		before := len(w.sendsTo(bens))
		if last := w.sendsTo(bens)[before-1]; !last.accepted {
			w.Error("it is not tried again")
		}
		w.publishEvery(10*time.Minute, time.Minute, ben)
		if n := len(w.sendsTo(bens)) - before; n < 9 {
			w.Errorf("%d of 10 notifications came after the trouble", n)
		}
	})
}

// A service that says when to come back is not asked before.
func TestTheServicesWishIsObeyed(t *testing.T) {
	simulate(t, func(w *simFixture) {
		w.setService("bens.example", func() error {
			return &webpush.RetryError{Host: "bens.example", Status: 429, After: time.Hour}
		})
		w.subscribe(ben, bens)
		w.publishEvery(59*time.Minute, 5*time.Second, ben)
		if n := len(w.sendsTo(bens)); n != 1 {
			w.Errorf("it was asked %d times within the hour", n)
		}
		w.publishEvery(2*time.Minute, 5*time.Second, ben)
		if n := len(w.sendsTo(bens)); n != 2 {
			w.Errorf("it was asked %d times after the hour", n)
		}
	})
}

func TestSubscriptionsThatTakeNothingForDaysEnd(t *testing.T) {
	const days = 24 * time.Hour
	var calls atomic.Int64
	for _, tt := range []struct {
		name       string
		bens, eves func() error
		want       int
	}{
		{"while others do", timeoutService, nil, 0},
		{"nobody does: it is our network", timeoutService, timeoutService, 1},
		{"once in a while it does", func() error {
			if calls.Add(1)%100 == 0 {
				return nil
			}
			return timeoutService()
		}, nil, 1},
		{"it answers, but does not like what it gets", func() error { return context.Canceled }, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, func(w *simFixture) {
				w.setService("bens.example", tt.bens)
				w.subscribe(ben, bens)
				w.subscribe(eve, eves)
				if tt.eves != nil {
					w.setService("eves.example", tt.eves)
				}
				w.publishEvery(3*days, 10*time.Minute, ben, eve)
				if n := w.subscribed(ben); n != 1 {
					w.Errorf("%d subscriptions after three days", n)
				}
				w.publishEvery(days, 10*time.Minute, ben, eve)
				if n := w.subscribed(ben); n != tt.want {
					w.Errorf("%d subscriptions after four days", n)
				}
				if n := w.subscribed(eve); n != 1 {
					w.Errorf("Eve has %d", n)
				}
			})
		})
	}
}

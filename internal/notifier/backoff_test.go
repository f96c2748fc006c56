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

// publishEvery publishes a message to each of the recipients at an interval.
func (f *simFixture) publishEvery(during, interval time.Duration, recipients ...chat.UserID) {
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(interval) {
		for _, user := range recipients {
			f.publish(f.missedJob(aki, chat.ConversationID(user), user))
		}
	}
}

// Nothing is sent to a device before its pause is over, also when there are new
// messages. The pause grows from one failure to the next, and is reset when the service
// accepts something.
func TestPausesGrowUntilADeviceAnswers(t *testing.T) {
	simulate(t, func(f *simFixture) {
		var back atomic.Bool
		f.setService("bens.example", func() error {
			if back.Load() {
				return nil
			}
			return timeoutService()
		})
		f.subscribe(ben, bens)
		f.publishEvery(2*time.Hour, 5*time.Second, ben)
		pause := time.Second
		tries := f.sendsTo(bens)
		for i, s := range tries[1:] {
			// A pause is randomized over the second half of its length.
			if waited := s.at - tries[i].at - 10*time.Second; waited < pause/2 {
				f.Errorf("failure %d was followed by a pause of %v, want %v at least", i+1, waited, pause/2)
			}
			pause = min(2*pause, 10*time.Minute)
		}
		if n := len(tries); n < 20 || n > 40 {
			f.Errorf("%d attempts in two hours", n)
		}
		back.Store(true)
		f.publishEvery(11*time.Minute, time.Minute, ben)
		before := len(f.sendsTo(bens))
		if last := f.sendsTo(bens)[before-1]; !last.accepted {
			f.Error("it is not tried again")
		}
		f.publishEvery(10*time.Minute, time.Minute, ben)
		if n := len(f.sendsTo(bens)) - before; n < 9 {
			f.Errorf("%d of 10 notifications came after the failures", n)
		}
	})
}

// Retry-After is obeyed.
func TestRetryAfterIsObeyed(t *testing.T) {
	simulate(t, func(f *simFixture) {
		f.setService("bens.example", func() error {
			return &webpush.RetryError{Host: "bens.example", Status: 429, After: time.Hour}
		})
		f.subscribe(ben, bens)
		f.publishEvery(59*time.Minute, 5*time.Second, ben)
		if n := len(f.sendsTo(bens)); n != 1 {
			f.Errorf("%d attempts within the hour", n)
		}
		f.publishEvery(2*time.Minute, 5*time.Second, ben)
		if n := len(f.sendsTo(bens)); n != 2 {
			f.Errorf("%d attempts after the hour", n)
		}
	})
}

func TestSubscriptionsThatFailForDaysAreDropped(t *testing.T) {
	const days = 24 * time.Hour
	var calls atomic.Int64
	for _, tt := range []struct {
		name       string
		bens, eves func() error
		want       int
	}{
		{"only this service fails", timeoutService, nil, 0},
		{"all services fail: it is our network", timeoutService, timeoutService, 1},
		{"it succeeds sometimes", func() error {
			if calls.Add(1)%100 == 0 {
				return nil
			}
			return timeoutService()
		}, nil, 1},
		{"it answers with another error", func() error { return context.Canceled }, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, func(f *simFixture) {
				f.setService("bens.example", tt.bens)
				f.subscribe(ben, bens)
				f.subscribe(eve, eves)
				if tt.eves != nil {
					f.setService("eves.example", tt.eves)
				}
				f.publishEvery(3*days, 10*time.Minute, ben, eve)
				if n := f.subscribed(ben); n != 1 {
					f.Errorf("%d subscriptions after three days", n)
				}
				f.publishEvery(days, 10*time.Minute, ben, eve)
				if n := f.subscribed(ben); n != tt.want {
					f.Errorf("%d subscriptions after four days", n)
				}
				if n := f.subscribed(eve); n != 1 {
					f.Errorf("Eve has %d", n)
				}
			})
		})
	}
}

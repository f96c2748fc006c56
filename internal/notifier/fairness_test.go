package notifier_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Whatever one user's devices do, the others are notified as if it were not so.
func TestOneUserHoldsUpNobody(t *testing.T) {
	const (
		mallory, accomplice = chat.UserID(1), chat.UserID(2)
		minutes, honest     = 15, 4 // people notified each second
	)
	register := func(w *simFixture, service func() error, generation int) {
		w.mu.Lock()
		w.devices[mallory] = nil
		w.mu.Unlock()
		for i := range store.MaxSubscriptions {
			host := fmt.Sprintf("%d-%d.tarpit.example", generation, i)
			w.setService(host, service)
			w.subscribe(mallory, "https://"+host+"/x")
		}
	}
	inOne := func(int) chat.ConversationID { return 1 }
	slow := func(err error) func() error {
		return func() error {
			time.Sleep(9 * time.Second)
			return err
		}
	}
	for _, attack := range []struct {
		name    string
		service func() error
		in      func(second int) chat.ConversationID
		renew   int // seconds after which all endpoints are new
	}{
		{"services that never answer", timeoutService, inOne, 0},
		{"in many conversations", timeoutService, func(s int) chat.ConversationID { return chat.ConversationID(1 + s) }, 0},
		{"with ever new endpoints", timeoutService, inOne, 10},
		{"services that take all, slowly", slow(nil), func(s int) chat.ConversationID { return chat.ConversationID(1 + s) }, 10},
		{"services that refuse all, slowly", slow(errors.New("status 400")), inOne, 0},
	} {
		t.Run(attack.name, func(t *testing.T) {
			simulate(t, func(w *simFixture) {
				register(w, attack.service, 0)
				said := map[string]time.Duration{} // by endpoint
				for second := range minutes * 60 {
					if attack.renew > 0 && second%attack.renew == 0 {
						register(w, attack.service, 1+second)
					}
					jobs := []notifyqueue.Job{w.missedJob(accomplice, attack.in(second), mallory)}
					for i := range honest {
						user := chat.UserID(1000 + second*honest + i)
						endpoint := fmt.Sprint("https://push.example/", user)
						w.subscribe(user, endpoint)
						jobs = append(jobs, w.missedJob(accomplice, chat.ConversationID(100_000+user), user))
						said[endpoint] = time.Since(w.start)
					}
					w.publish(jobs...)
					time.Sleep(time.Second)
				}
				time.Sleep(10 * time.Second)
				w.mu.Lock()
				defer w.mu.Unlock()
				inTime := 0
				for _, s := range w.sends {
					// The delay is 5 s; the clock stands while anybody works.
					if at, is := said[s.endpoint]; is && s.accepted && s.at-at <= 6*time.Second {
						inTime++
					}
				}
				if inTime != len(said) {
					w.Errorf("%d of %d people were notified in time", inTime, len(said))
				}
				if n := w.maxInFlight[mallory]; n > 4 {
					w.Errorf("%d lanes went to one user", n)
				}
			})
		})
	}
}

// A device that takes nothing takes nothing from the same user's others.
func TestADeviceThatRestsHoldsUpNoOther(t *testing.T) {
	simulate(t, func(w *simFixture) {
		const aki, ben = chat.UserID(1), chat.UserID(2)
		w.setService("silent.example", timeoutService)
		w.subscribe(ben, "https://silent.example/x")
		w.subscribe(ben, "https://push.example/x")
		const conversations = 1000
		for c := range conversations {
			w.publish(w.missedJob(aki, chat.ConversationID(1+c), ben))
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		if n := len(w.sendsTo("https://push.example/x")); n != conversations {
			w.Errorf("%d of %d notifications", n, conversations)
		}
	})
}

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

// Whatever one user's devices do, the others are notified in time.
func TestOneUserDelaysNobody(t *testing.T) {
	const (
		mallory, accomplice = chat.UserID(1), chat.UserID(2)
		minutes, honest     = 15, 4 // users notified each second
	)
	register := func(f *simFixture, service func() error, generation int) {
		f.mu.Lock()
		f.devices[mallory] = nil
		f.mu.Unlock()
		for i := range store.MaxSubscriptions {
			host := fmt.Sprintf("%d-%d.tarpit.example", generation, i)
			f.setService(host, service)
			f.subscribe(mallory, "https://"+host+"/x")
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
		{"with new endpoints again and again", timeoutService, inOne, 10},
		{"services that accept all, slowly", slow(nil), func(s int) chat.ConversationID { return chat.ConversationID(1 + s) }, 10},
		{"services that refuse all, slowly", slow(errors.New("status 400")), inOne, 0},
	} {
		t.Run(attack.name, func(t *testing.T) {
			simulate(t, func(f *simFixture) {
				register(f, attack.service, 0)
				publishedAt := map[string]time.Duration{} // by endpoint
				for second := range minutes * 60 {
					if attack.renew > 0 && second%attack.renew == 0 {
						register(f, attack.service, 1+second)
					}
					jobs := []notifyqueue.Job{f.missedJob(accomplice, attack.in(second), mallory)}
					for i := range honest {
						user := chat.UserID(1000 + second*honest + i)
						endpoint := fmt.Sprint("https://push.example/", user)
						f.subscribe(user, endpoint)
						jobs = append(jobs, f.missedJob(accomplice, chat.ConversationID(100_000+user), user))
						publishedAt[endpoint] = time.Since(f.start)
					}
					f.publish(jobs...)
					time.Sleep(time.Second)
				}
				time.Sleep(10 * time.Second)
				f.mu.Lock()
				defer f.mu.Unlock()
				inTime := 0
				for _, s := range f.sends {
					// The delay is 5 s; the clock does not advance while a goroutine runs.
					if at, is := publishedAt[s.endpoint]; is && s.accepted && s.at-at <= 6*time.Second {
						inTime++
					}
				}
				if inTime != len(publishedAt) {
					f.Errorf("%d of %d users were notified in time", inTime, len(publishedAt))
				}
				if n := f.maxInFlight[mallory]; n > 4 {
					f.Errorf("%d sends to one user at the same time", n)
				}
			})
		})
	}
}

// A device whose service accepts nothing does not delay the user's other devices.
func TestPausedDeviceDelaysNoOther(t *testing.T) {
	simulate(t, func(f *simFixture) {
		const aki, ben = chat.UserID(1), chat.UserID(2)
		f.setService("silent.example", timeoutService)
		f.subscribe(ben, "https://silent.example/x")
		f.subscribe(ben, "https://push.example/x")
		const conversations = 1000
		for c := range conversations {
			f.publish(f.missedJob(aki, chat.ConversationID(1+c), ben))
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		if n := len(f.sendsTo("https://push.example/x")); n != conversations {
			f.Errorf("%d of %d notifications", n, conversations)
		}
	})
}

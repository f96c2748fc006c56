package notifier_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
)

func TestSubscriptionsThatEndedAreRemoved(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben := f.createUser("Aki"), f.createUser("Ben")
		gone, kept := f.subscribe(ben), f.subscribe(ben)
		gone.Expire()
		p := f.startNotifier(notifier.Config{})
		p.releaseTimers()
		f.sendMessage(f.createConversation(chat.Direct, "", aki, ben), aki, "hello")
		p.waitAcked(1)
		kept.Wait(f.T, 1)
		if n := f.subscriptions(ben); n != 1 || gone.PushCount() != 0 {
			f.Errorf("%d subscriptions, %d notifications", n, gone.PushCount())
		}
	})
}

func TestFailingServicesAreRetried(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			eachBackend(t, func(f *fixture) {
				aki, ben := f.createUser("Aki"), f.createUser("Ben")
				device := f.subscribe(ben)
				f.service.RespondWith(status, 7*time.Second)
				p := f.startNotifier(notifier.Config{})
				f.sendMessage(f.createConversation(chat.Direct, "", aki, ben), aki, "hello")
				p.waitTaken(1)
				p.releaseTimers()
				// The first wait is the delay.
				p.wait("it waits as long as Retry-After says", func() bool {
					return slices.ContainsFunc(p.waits, func(d time.Duration) bool { return d >= 7*time.Second && d < time.Minute })
				})
				f.service.RespondWith(0, 0)
				device.Wait(f.T, 1)
				p.waitAcked(1)
				if n := device.PushCount(); n != 1 {
					f.Errorf("%d notifications", n)
				}
			})
		})
	}
}

// A notification that is not relevant any more is not retried.
func TestRetriesCheckAgain(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben := f.createUser("Aki"), f.createUser("Ben")
		device := f.subscribe(ben)
		f.service.RespondWith(503, 0)
		direct := f.createConversation(chat.Direct, "", aki, ben)
		p := f.startNotifier(notifier.Config{})
		m := f.sendMessage(direct, aki, "hello")
		p.waitTaken(1)
		p.releaseTimers()
		p.wait("it was tried", func() bool { return len(p.waits) > 1 })
		_, _, err := f.store.Mark(f.Context(), direct, ben.id, m.Seq, 0)
		f.must(err)
		p.waitAcked(1)
		f.assertNoPushes("read", device)
	})
}

func TestServicesAreGivenUp(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben := f.createUser("Aki"), f.createUser("Ben")
		device := f.subscribe(ben)
		direct := f.createConversation(chat.Direct, "", aki, ben)
		p := f.startNotifier(notifier.Config{GiveUpAfter: time.Minute})
		p.releaseTimers()
		for i, status := range []int{400, 403, 0, 429, 0} { // 0 accepts it, but nothing is sent within the hour of Retry-After
			f.service.RespondWith(status, time.Hour)
			f.sendMessage(direct, aki, "hello")
			p.waitAcked(i + 1)
		}
		if n, left := device.PushCount(), f.subscriptions(ben); n != 1 || left != 1 {
			f.Errorf("%d notifications, %d subscriptions", n, left)
		}
	})
}

// A service that is down delays nobody else, and is retried.
func TestAServiceIsDown(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben := f.createUser("Aki"), f.createUser("Ben")
		device := f.subscribe(ben)
		broken := webpushtest.New(t)
		var down atomic.Bool
		down.Store(true)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		f.must(err)
		server := &http.Server{ReadHeaderTimeout: testTimeout, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if down.Load() {
				panic(http.ErrAbortHandler) // closes the connection
			}
			broken.ServeHTTP(rw, r)
		})}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
		broken.URL = "http://" + l.Addr().String()
		s, back := broken.Subscribe()
		f.register(ben, s)
		p := f.startNotifier(notifier.Config{})
		f.sendMessage(f.createConversation(chat.Direct, "", aki, ben), aki, "hello")
		p.waitTaken(1)
		p.releaseTimers()
		device.Wait(f.T, 1)
		p.wait("it is tried again", func() bool { return len(p.waits) > 2 })
		if back.PushCount() != 0 {
			f.Error("it was not down")
		}
		down.Store(false)
		back.Wait(f.T, 1)
		p.waitAcked(1)
	})
}

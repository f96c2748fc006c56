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
	eachBackend(t, func(w *fixture) {
		aki, ben := w.createUser("Aki"), w.createUser("Ben")
		gone, kept := w.subscribe(ben), w.subscribe(ben)
		gone.Expire()
		p := w.startNotifier(notifier.Config{})
		p.releaseTimers()
		w.sendMessage(w.createConversation(chat.Direct, "", aki, ben), aki, "hello")
		p.waitAcked(1)
		kept.Wait(w.T, 1)
		if n := w.subscriptions(ben); n != 1 || gone.PushCount() != 0 {
			w.Errorf("%d subscriptions, %d notifications", n, gone.PushCount())
		}
	})
}

func TestServicesInTroubleAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			eachBackend(t, func(w *fixture) {
				aki, ben := w.createUser("Aki"), w.createUser("Ben")
				device := w.subscribe(ben)
				w.service.RespondWith(status, 7*time.Second)
				p := w.startNotifier(notifier.Config{})
				w.sendMessage(w.createConversation(chat.Direct, "", aki, ben), aki, "hello")
				p.waitTaken(1)
				p.releaseTimers()
				// The first wait is the delay.
				p.wait("it waits as the service wishes", func() bool {
					return slices.ContainsFunc(p.waits, func(d time.Duration) bool { return d >= 7*time.Second && d < time.Minute })
				})
				w.service.RespondWith(0, 0)
				device.Wait(w.T, 1)
				p.waitAcked(1)
				if n := device.PushCount(); n != 1 {
					w.Errorf("%d notifications", n)
				}
			})
		})
	}
}

// What is no news any more is not sent again and again.
func TestRepetitionsLookAgain(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki, ben := w.createUser("Aki"), w.createUser("Ben")
		device := w.subscribe(ben)
		w.service.RespondWith(503, 0)
		direct := w.createConversation(chat.Direct, "", aki, ben)
		p := w.startNotifier(notifier.Config{})
		m := w.sendMessage(direct, aki, "hello")
		p.waitTaken(1)
		p.releaseTimers()
		p.wait("it was tried", func() bool { return len(p.waits) > 1 })
		_, _, err := w.store.Mark(w.Context(), direct, ben.id, m.Seq, 0)
		w.must(err)
		p.waitAcked(1)
		w.assertNoPushes("read", device)
	})
}

func TestServicesAreGivenUp(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki, ben := w.createUser("Aki"), w.createUser("Ben")
		device := w.subscribe(ben)
		direct := w.createConversation(chat.Direct, "", aki, ben)
		p := w.startNotifier(notifier.Config{GiveUpAfter: time.Minute})
		p.releaseTimers()
		for i, status := range []int{400, 403, 0, 429, 0} { // 0 takes it, but nothing is sent within the hour
			w.service.RespondWith(status, time.Hour)
			w.sendMessage(direct, aki, "hello")
			p.waitAcked(i + 1)
		}
		if n, left := device.PushCount(), w.subscriptions(ben); n != 1 || left != 1 {
			w.Errorf("%d notifications, %d subscriptions", n, left)
		}
	})
}

// A service that is down holds up nobody else, and is tried again.
func TestAServiceIsDown(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki, ben := w.createUser("Aki"), w.createUser("Ben")
		device := w.subscribe(ben)
		broken := webpushtest.New(t)
		var down atomic.Bool
		down.Store(true)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		w.must(err)
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
		w.register(ben, s)
		p := w.startNotifier(notifier.Config{})
		w.sendMessage(w.createConversation(chat.Direct, "", aki, ben), aki, "hello")
		p.waitTaken(1)
		p.releaseTimers()
		device.Wait(w.T, 1)
		p.wait("it is tried again", func() bool { return len(p.waits) > 2 })
		if back.PushCount() != 0 {
			w.Error("it was not down")
		}
		down.Store(false)
		back.Wait(w.T, 1)
		p.waitAcked(1)
	})
}

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
	everywhere(t, func(w *world) {
		aki, ben := w.person("Aki"), w.person("Ben")
		gone, kept := w.subscribe(ben), w.subscribe(ben)
		gone.Gone()
		p := w.start(notifier.Config{})
		p.open()
		w.say(w.converse(chat.Direct, "", aki, ben), aki, "hello")
		p.finished(1)
		kept.Wait(w.T, 1)
		if n := w.subscriptions(ben); n != 1 || gone.Pushes() != 0 {
			w.Errorf("%d subscriptions, %d notifications", n, gone.Pushes())
		}
	})
}

func TestServicesInTroubleAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(w *world) {
				aki, ben := w.person("Aki"), w.person("Ben")
				device := w.subscribe(ben)
				w.service.Answer(status, 7*time.Second)
				p := w.start(notifier.Config{})
				w.say(w.converse(chat.Direct, "", aki, ben), aki, "hello")
				p.has(1)
				p.open()
				// The first wait is the delay.
				p.wait("it waits as the service wishes", func() bool {
					return slices.ContainsFunc(p.waits, func(d time.Duration) bool { return d >= 7*time.Second && d < time.Minute })
				})
				w.service.Answer(0, 0)
				device.Wait(w.T, 1)
				p.finished(1)
				if n := device.Pushes(); n != 1 {
					w.Errorf("%d notifications", n)
				}
			})
		})
	}
}

// What is no news any more is not sent again and again.
func TestRepetitionsLookAgain(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *world) {
		aki, ben := w.person("Aki"), w.person("Ben")
		device := w.subscribe(ben)
		w.service.Answer(503, 0)
		direct := w.converse(chat.Direct, "", aki, ben)
		p := w.start(notifier.Config{})
		m := w.say(direct, aki, "hello")
		p.has(1)
		p.open()
		p.wait("it was tried", func() bool { return len(p.waits) > 1 })
		_, _, err := w.store.Mark(w.Context(), direct, ben.id, m.Seq, 0)
		w.ok(err)
		p.finished(1)
		w.silent("read", device)
	})
}

func TestServicesAreGivenUp(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *world) {
		aki, ben := w.person("Aki"), w.person("Ben")
		device := w.subscribe(ben)
		direct := w.converse(chat.Direct, "", aki, ben)
		p := w.start(notifier.Config{GiveUp: time.Minute})
		p.open()
		for i, status := range []int{400, 403, 0, 429, 0} { // 0 takes it, but nothing is sent within the hour
			w.service.Answer(status, time.Hour)
			w.say(direct, aki, "hello")
			p.finished(i + 1)
		}
		if n, left := device.Pushes(), w.subscriptions(ben); n != 1 || left != 1 {
			w.Errorf("%d notifications, %d subscriptions", n, left)
		}
	})
}

// A service that is down holds up nobody else, and is tried again.
func TestAServiceIsDown(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *world) {
		aki, ben := w.person("Aki"), w.person("Ben")
		device := w.subscribe(ben)
		broken := webpushtest.New(t)
		var down atomic.Bool
		down.Store(true)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		w.ok(err)
		server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
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
		p := w.start(notifier.Config{})
		w.say(w.converse(chat.Direct, "", aki, ben), aki, "hello")
		p.has(1)
		p.open()
		device.Wait(w.T, 1)
		p.wait("it is tried again", func() bool { return len(p.waits) > 2 })
		if back.Pushes() != 0 {
			w.Error("it was not down")
		}
		down.Store(false)
		back.Wait(w.T, 1)
		p.finished(1)
	})
}

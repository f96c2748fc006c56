package notifier_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/webpush/webpushtest"
)

func TestSeveralProcesses(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki := w.createUser("Aki")
		const people = 12
		var devices []*webpushtest.Device
		var directs []chat.ConversationID
		for i := range people {
			p := w.createUser(fmt.Sprint("Person ", i))
			devices = append(devices, w.subscribe(p))
			directs = append(directs, w.createConversation(chat.Direct, "", aki, p))
		}
		all := func(n int) {
			for _, d := range devices {
				d.Wait(w.T, n)
			}
		}
		one, two := w.startNotifier(notifier.Config{MaxInFlight: 2}), w.startNotifier(notifier.Config{MaxInFlight: 2})
		one.releaseTimers()
		two.releaseTimers()
		for _, d := range directs {
			w.sendMessage(d, aki, "first")
		}
		all(1)
		// One that is stopped before it has sent leaves the jobs to others.
		one.stop()
		two.stop()
		three := w.startNotifier(notifier.Config{})
		for _, d := range directs {
			w.sendMessage(d, aki, "second")
		}
		three.waitTaken(people)
		three.stop()
		for _, d := range devices {
			if n := d.PushCount(); n != 1 {
				w.Errorf("%d notifications", n)
			}
		}
		four := w.startNotifier(notifier.Config{})
		four.releaseTimers()
		all(2)
		four.waitAcked(people)
		for _, d := range devices {
			if n := d.PushCount(); n != 2 {
				w.Errorf("%d notifications", n)
			}
		}
	})
}

// Full notes hold up the queue, and nothing is lost or stuck.
func TestBounds(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki := w.createUser("Aki")
		p := w.startNotifier(notifier.Config{MaxPending: 1, MaxQueued: 1, MaxInFlight: 1})
		p.releaseTimers()
		var devices []*webpushtest.Device
		for i := range 20 {
			ben := w.createUser(fmt.Sprint("Ben ", i))
			devices = append(devices, w.subscribe(ben), w.subscribe(ben))
			w.sendMessage(w.createConversation(chat.Direct, "", aki, ben), aki, "hello")
		}
		for _, d := range devices {
			d.Wait(w.T, 1)
		}
		p.waitAcked(20)
	})
}

func TestOldAndRepeatedJobs(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(w *fixture) {
		aki, ben := w.createUser("Aki"), w.createUser("Ben")
		device := w.subscribe(ben)
		direct := w.createConversation(chat.Direct, "", aki, ben)
		p := w.startNotifier(notifier.Config{})
		first, second := w.sendMessage(direct, aki, "first"), w.sendMessage(direct, aki, "second")
		old := notifyqueue.NewJob(&second, []chat.UserID{ben.id})
		old.Seq, old.At = 3, time.Now().Add(-25*time.Hour)
		w.queue.Publish([]notifyqueue.Job{old})
		w.queue.Publish([]notifyqueue.Job{notifyqueue.NewJob(&first, []chat.UserID{ben.id, aki.id}), notifyqueue.NewJob(&second, []chat.UserID{ben.id})})
		p.waitTaken(5)
		p.releaseTimers()
		p.waitAcked(5)
		w.assertNotification(device, notificationContent{"Aki", "(2) second", direct.String()}, "high")
		if n := device.PushCount(); n != 1 {
			w.Errorf("%d notifications", n)
		}
	})
}

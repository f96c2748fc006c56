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
	eachBackend(t, func(f *fixture) {
		aki := f.createUser("Aki")
		const people = 12
		var devices []*webpushtest.Device
		var directs []chat.ConversationID
		for i := range people {
			p := f.createUser(fmt.Sprint("Person ", i))
			devices = append(devices, f.subscribe(p))
			directs = append(directs, f.createConversation(chat.Direct, "", aki, p))
		}
		all := func(n int) {
			for _, d := range devices {
				d.Wait(f.T, n)
			}
		}
		one, two := f.startNotifier(notifier.Config{MaxInFlight: 2}), f.startNotifier(notifier.Config{MaxInFlight: 2})
		one.releaseTimers()
		two.releaseTimers()
		for _, d := range directs {
			f.sendMessage(d, aki, "first")
		}
		all(1)
		// A notifier that is stopped before it has sent leaves its jobs to others.
		one.stop()
		two.stop()
		three := f.startNotifier(notifier.Config{})
		for _, d := range directs {
			f.sendMessage(d, aki, "second")
		}
		three.waitTaken(people)
		three.stop()
		for _, d := range devices {
			if n := d.PushCount(); n != 1 {
				f.Errorf("%d notifications", n)
			}
		}
		four := f.startNotifier(notifier.Config{})
		four.releaseTimers()
		all(2)
		four.waitAcked(people)
		for _, d := range devices {
			if n := d.PushCount(); n != 2 {
				f.Errorf("%d notifications", n)
			}
		}
	})
}

// With small bounds the queue is consumed slowly, and nothing is lost or stuck.
func TestBounds(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki := f.createUser("Aki")
		p := f.startNotifier(notifier.Config{MaxPending: 1, MaxQueued: 1, MaxInFlight: 1})
		p.releaseTimers()
		var devices []*webpushtest.Device
		for i := range 20 {
			ben := f.createUser(fmt.Sprint("Ben ", i))
			devices = append(devices, f.subscribe(ben), f.subscribe(ben))
			f.sendMessage(f.createConversation(chat.Direct, "", aki, ben), aki, "hello")
		}
		for _, d := range devices {
			d.Wait(f.T, 1)
		}
		p.waitAcked(20)
	})
}

func TestOldAndRepeatedJobs(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(f *fixture) {
		aki, ben := f.createUser("Aki"), f.createUser("Ben")
		device := f.subscribe(ben)
		direct := f.createConversation(chat.Direct, "", aki, ben)
		p := f.startNotifier(notifier.Config{})
		first, second := f.sendMessage(direct, aki, "first"), f.sendMessage(direct, aki, "second")
		old := notifyqueue.NewJob(&second, []chat.UserID{ben.id})
		old.Seq, old.At = 3, time.Now().Add(-25*time.Hour)
		f.queue.Publish([]notifyqueue.Job{old})
		f.queue.Publish([]notifyqueue.Job{notifyqueue.NewJob(&first, []chat.UserID{ben.id, aki.id}), notifyqueue.NewJob(&second, []chat.UserID{ben.id})})
		p.waitTaken(5)
		p.releaseTimers()
		p.waitAcked(5)
		f.assertNotification(device, notificationContent{"Aki", "(2) second", direct.String()}, "high")
		if n := device.PushCount(); n != 1 {
			f.Errorf("%d notifications", n)
		}
	})
}

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
	everywhere(t, func(w *world) {
		aki := w.person("Aki")
		const people = 12
		var devices []*webpushtest.Device
		var directs []chat.ConversationID
		for i := range people {
			p := w.person(fmt.Sprint("Person ", i))
			devices = append(devices, w.subscribe(p))
			directs = append(directs, w.converse(chat.Direct, "", aki, p))
		}
		all := func(n int) {
			for _, d := range devices {
				d.Wait(w.T, n)
			}
		}
		one, two := w.start(notifier.Config{AtOnce: 2}), w.start(notifier.Config{AtOnce: 2})
		one.open()
		two.open()
		for _, d := range directs {
			w.say(d, aki, "first")
		}
		all(1)
		// One that is stopped before it has sent leaves the jobs to others.
		one.stop()
		two.stop()
		three := w.start(notifier.Config{})
		for _, d := range directs {
			w.say(d, aki, "second")
		}
		three.has(people)
		three.stop()
		for _, d := range devices {
			if n := d.Pushes(); n != 1 {
				w.Errorf("%d notifications", n)
			}
		}
		four := w.start(notifier.Config{})
		four.open()
		all(2)
		four.finished(people)
		for _, d := range devices {
			if n := d.Pushes(); n != 2 {
				w.Errorf("%d notifications", n)
			}
		}
	})
}

// Full notes hold up the queue, and nothing is lost or stuck.
func TestBounds(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *world) {
		aki := w.person("Aki")
		p := w.start(notifier.Config{Waiting: 1, Open: 1, AtOnce: 1})
		p.open()
		var devices []*webpushtest.Device
		for i := range 20 {
			ben := w.person(fmt.Sprint("Ben ", i))
			devices = append(devices, w.subscribe(ben), w.subscribe(ben))
			w.say(w.converse(chat.Direct, "", aki, ben), aki, "hello")
		}
		for _, d := range devices {
			d.Wait(w.T, 1)
		}
		p.finished(20)
	})
}

func TestOldAndRepeatedJobs(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *world) {
		aki, ben := w.person("Aki"), w.person("Ben")
		device := w.subscribe(ben)
		direct := w.converse(chat.Direct, "", aki, ben)
		p := w.start(notifier.Config{})
		first, second := w.say(direct, aki, "first"), w.say(direct, aki, "second")
		old := notifyqueue.NewJob(&second, []chat.UserID{ben.id})
		old.Seq, old.At = 3, time.Now().Add(-25*time.Hour)
		w.queue.Publish([]notifyqueue.Job{old})
		w.queue.Publish([]notifyqueue.Job{notifyqueue.NewJob(&first, []chat.UserID{ben.id, aki.id}), notifyqueue.NewJob(&second, []chat.UserID{ben.id})})
		p.has(5)
		p.open()
		p.finished(5)
		w.shows(device, shown{"Aki", "(2) second", direct.String()}, "high")
		if n := device.Pushes(); n != 1 {
			w.Errorf("%d notifications", n)
		}
	})
}

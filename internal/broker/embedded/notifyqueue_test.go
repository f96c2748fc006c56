package embedded_test

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue/notifyqueuetest"
)

func TestNotifyQueue(t *testing.T) {
	notifyqueuetest.Run(t, func(*testing.T) (notifyqueue.Queue, func() notifyqueue.Queue) {
		q := embedded.NewNotifyQueue(0)
		return q, func() notifyqueue.Queue { return q }
	})
}

func TestFullNotifyQueueDropsTheOldest(t *testing.T) {
	q := embedded.NewNotifyQueue(10)
	for n := int64(1); n <= 25; n++ {
		q.Publish([]notifyqueue.Job{notifyqueuetest.Job(n)})
	}
	got := notifyqueuetest.Receive(t, q, nil).Wait(10)
	if len(got) != 10 || got[0].Seq != 16 || got[9].Seq != 25 {
		t.Errorf("%d jobs, from %d", len(got), got[0].Seq)
	}
}

// What consumers have and did not acknowledge is bounded as well, and acknowledging
// lets the queue continue.
func TestUnackedJobsAreBounded(t *testing.T) {
	q := embedded.NewNotifyQueue(40_000)
	batch := make([]notifyqueue.Job, 1024)
	for range 24 {
		q.Publish(batch)
	}
	r := notifyqueuetest.Receive(t, q, func(notifyqueue.Job) bool { return true })
	if n := len(r.Wait(16 * 1024)); n != 16*1024 {
		t.Errorf("%d jobs are unacknowledged", n)
	}
	r.AckAll()
	if n := len(r.Wait(24 * 1024)); n != 24*1024 {
		t.Errorf("%d jobs came", n)
	}
}

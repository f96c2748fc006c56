package embedded_test

import (
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue/notifyqueuetest"
)

func TestNotifyQueue(t *testing.T) {
	notifyqueuetest.Run(t, func(*testing.T) (notifyqueue.Queue, func() notifyqueue.Queue) {
		q := newNotifyQueue(t, 0)
		return q, func() notifyqueue.Queue { return q }
	})
}

func TestFullNotifyQueueDropsTheOldest(t *testing.T) {
	q := newNotifyQueue(t, 10)
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
	q := newNotifyQueue(t, 40_000)
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

func newNotifyQueue(t *testing.T, maxJobs int) *embedded.NotifyQueue {
	t.Helper()
	q, err := embedded.NewNotifyQueue(embedded.NotifyQueueConfig{MaxJobs: maxJobs})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestNotifyQueueConfigIsChecked(t *testing.T) {
	if _, err := embedded.NewNotifyQueue(embedded.NotifyQueueConfig{MaxJobs: -1}); err == nil || !strings.HasPrefix(err.Error(), "max-jobs: -1 is not between 1 and ") {
		t.Errorf("a queue of -1: %v", err)
	}
}

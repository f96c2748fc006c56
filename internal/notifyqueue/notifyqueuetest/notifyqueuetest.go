// Package notifyqueuetest is the conformance suite of the notification queue: every
// backend runs it, against its real server.
package notifyqueuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

// Open returns a new queue. Each call of reopen connects to the same queue again.
type Open func(t *testing.T) (q notifyqueue.Queue, reopen func() notifyqueue.Queue)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("jobs are delivered as they were published, in order", func(t *testing.T) { testOrder(t, open) })
	t.Run("unacknowledged jobs are redelivered", func(t *testing.T) { testRedelivery(t, open) })
	t.Run("several consumers share the jobs", func(t *testing.T) { testCompetingConsumers(t, open) })
	t.Run("a handler that does not return gets no more", func(t *testing.T) { testBlockedHandler(t, open) })
	t.Run("a late acknowledgement does no harm", func(t *testing.T) { testLateAck(t, open) })
}

// Job returns a job whose fields differ from those of every other n.
func Job(n int64) notifyqueue.Job {
	return notifyqueue.Job{
		Conversation: 1<<62 + chat.ConversationID(n), Message: 1<<61 + chat.MessageID(n), Seq: n, Sender: 1<<60 + chat.UserID(n),
		Preview: fmt.Sprintf("**%d** 飛脚 \"%s\"", n, strings.Repeat("x", 100)), At: time.UnixMilli(1_700_000_000_000 + n).UTC(),
		Users: []chat.UserID{1<<62 + chat.UserID(n), 7, 8},
	}
}

// Receiver is a running consumer, and what it received.
type Receiver struct {
	t    *testing.T
	stop func()

	mu      sync.Mutex
	jobs    []notifyqueue.Job
	acks    []func()
	changed chan struct{}
}

// Receive runs a consumer. It acknowledges deliveries at once, except those with a job
// for which hold returns true; hold may be nil.
func Receive(t *testing.T, q notifyqueue.Consumer, hold func(notifyqueue.Job) bool) *Receiver {
	t.Helper()
	r := &Receiver{t: t, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- q.Consume(ctx, func(_ context.Context, d notifyqueue.Delivery) {
			r.mu.Lock()
			r.jobs = append(r.jobs, d.Jobs...)
			held := hold != nil && slices.ContainsFunc(d.Jobs, hold)
			if held {
				r.acks = append(r.acks, d.Ack)
			}
			close(r.changed)
			r.changed = make(chan struct{})
			r.mu.Unlock()
			if !held {
				d.Ack()
			}
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := eventually.Receive(t, "Consume returns after its context ended", ended); err != nil {
			t.Errorf("Consume: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// Wait waits until at least n jobs were received, and returns them all.
func (r *Receiver) Wait(n int) []notifyqueue.Job {
	r.t.Helper()
	for {
		r.mu.Lock()
		jobs, more := slices.Clone(r.jobs), r.changed
		r.mu.Unlock()
		if len(jobs) >= n {
			return jobs
		}
		eventually.Receive(r.t, fmt.Sprintf("more than %d of %d jobs", len(jobs), n), more)
	}
}

// Stop ends the consumer and waits for its end.
func (r *Receiver) Stop() { r.stop() }

// AckAll acknowledges the deliveries that were held.
func (r *Receiver) AckAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ack := range r.acks {
		ack()
	}
	r.acks = nil
}

func assertJobs(t *testing.T, got, want []notifyqueue.Job) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func jobs(from, to int64) (out []notifyqueue.Job) {
	for n := from; n < to; n++ {
		out = append(out, Job(n))
	}
	return out
}

func testOrder(t *testing.T, open Open) {
	q, _ := open(t)
	// Some before there is a consumer, one alone and several together.
	q.Publish(jobs(1, 2))
	q.Publish(jobs(2, 50))
	q.Publish(nil)
	r := Receive(t, q, nil)
	r.Wait(49)
	for n := int64(50); n < 200; n += 3 {
		q.Publish(jobs(n, n+3))
	}
	assertJobs(t, r.Wait(199), jobs(1, 200))
}

func testRedelivery(t *testing.T, open Open) {
	q, reopen := open(t)
	first := Receive(t, q, func(j notifyqueue.Job) bool { return j.Seq < 3 })
	for n := int64(1); n < 5; n++ {
		// One by one, so that they come in deliveries of their own.
		q.Publish(jobs(n, n+1))
		first.Wait(int(n))
	}
	first.Stop()
	second := Receive(t, reopen(), nil)
	assertJobs(t, second.Wait(2), jobs(1, 3))
	q.Publish(jobs(5, 6))
	assertJobs(t, second.Wait(3), append(jobs(1, 3), Job(5)))
	second.Stop()
	third := Receive(t, q, nil)
	q.Publish(jobs(6, 7))
	assertJobs(t, third.Wait(1), jobs(6, 7))
}

func testCompetingConsumers(t *testing.T, open Open) {
	q, reopen := open(t)
	// Each is at work until both are: otherwise one may be fast enough for all.
	var working sync.WaitGroup
	working.Add(2)
	work := func() func(notifyqueue.Job) bool {
		var once sync.Once
		return func(notifyqueue.Job) bool {
			once.Do(func() {
				working.Done()
				working.Wait()
			})
			return false
		}
	}
	both := make(chan struct{})
	go func() {
		working.Wait()
		close(both)
	}()
	a, b := Receive(t, q, work()), Receive(t, reopen(), work())
	published := int64(0)
	eventually.True(t, "both consumers receive jobs", func() bool {
		published++
		q.Publish([]notifyqueue.Job{Job(published)})
		select {
		case <-both:
			return true
		default:
			return false
		}
	})
	eventually.True(t, "all jobs are delivered", func() bool { return len(a.Wait(0))+len(b.Wait(0)) == int(published) })
	all := append(a.Wait(0), b.Wait(0)...)
	slices.SortFunc(all, func(x, y notifyqueue.Job) int { return int(x.Seq - y.Seq) })
	assertJobs(t, all, jobs(1, published+1))
}

func testBlockedHandler(t *testing.T, open Open) {
	q, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan int, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- q.Consume(ctx, func(ctx context.Context, d notifyqueue.Delivery) {
			entered <- len(d.Jobs)
			<-ctx.Done()
		})
	}()
	q.Publish(jobs(1, 2))
	<-entered
	q.Publish(jobs(2, 3))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(entered) > 0 {
		t.Error("the handler was called before it returned")
	}
	// Its jobs are redelivered.
	assertJobs(t, Receive(t, q, nil).Wait(2), jobs(1, 3))
}

func testLateAck(t *testing.T, open Open) {
	q, reopen := open(t)
	first := Receive(t, q, func(notifyqueue.Job) bool { return true })
	q.Publish(jobs(1, 2))
	first.Wait(1)
	first.Stop()
	second := Receive(t, reopen(), func(notifyqueue.Job) bool { return true })
	second.Wait(1)
	first.AckAll() // of a consumer that has ended
	second.Stop()
	assertJobs(t, Receive(t, q, nil).Wait(1), jobs(1, 2))
}

package notifier_test

import (
	"context"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

// runningNotifier is a notifier whose timers the test releases.
type runningNotifier struct {
	f             *fixture
	stop          func()
	releaseTimers func() // ends all waits, current and later

	mu     sync.Mutex
	taken  int // jobs that the notifier has received
	acked  int // jobs
	waits  []time.Duration
	change chan struct{}
}

// startNotifier starts a notifier whose timers do not end before releaseTimers is
// called.
func (f *fixture) startNotifier(cfg notifier.Config) *runningNotifier {
	f.Helper()
	gate := make(chan time.Time)
	n := &runningNotifier{f: f, change: make(chan struct{}), releaseTimers: sync.OnceFunc(func() { close(gate) })}
	cfg.Store, cfg.Sender, cfg.Logger, cfg.Delay = f.store, f.sender, f.log, time.Hour
	if cfg.Locator == nil {
		cfg.Locator = f.presence
	}
	cfg.After = func(d time.Duration) <-chan time.Time {
		n.update(func() { n.waits = append(n.waits, d) })
		return gate
	}
	run, err := notifier.New(cfg)
	f.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run.Run(ctx, n) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Errorf("Run: %v", err)
		}
	})
	f.Cleanup(n.stop)
	return n
}

// update changes the counters and wakes wait.
func (n *runningNotifier) update(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
	close(n.change)
	n.change = make(chan struct{})
}

// Consume consumes from the queue and counts what is taken and acknowledged.
func (n *runningNotifier) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	return n.f.queue.Consume(ctx, func(ctx context.Context, d notifyqueue.Delivery) {
		ack, jobs := d.Ack, len(d.Jobs)
		d.Ack = func() {
			ack()
			n.update(func() { n.acked += jobs })
		}
		handle(ctx, d)
		n.update(func() { n.taken += jobs })
	})
}

func (n *runningNotifier) wait(what string, ok func() bool) {
	n.f.Helper()
	timeout := time.After(testTimeout)
	for {
		n.mu.Lock()
		met, change := ok(), n.change
		n.mu.Unlock()
		if met {
			return
		}
		select {
		case <-change:
		case <-timeout:
			n.mu.Lock()
			defer n.mu.Unlock()
			n.f.Fatalf("never happened: %s (%d jobs taken, %d acknowledged; refused: %v)", what, n.taken, n.acked, n.f.service.Refused())
		}
	}
}

// waitTaken waits until the notifier has received so many jobs.
func (n *runningNotifier) waitTaken(jobs int) {
	n.f.Helper()
	n.wait("the jobs are taken", func() bool { return n.taken >= jobs })
}

// waitAcked waits until so many jobs are acknowledged.
func (n *runningNotifier) waitAcked(jobs int) {
	n.f.Helper()
	n.wait("the jobs are acknowledged", func() bool { return n.acked >= jobs })
}

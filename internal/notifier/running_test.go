package notifier_test

import (
	"context"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

// runningNotifier is a pusher at work. It waits for nothing but for what the test says.
type runningNotifier struct {
	w    *fixture
	stop func()
	releaseTimers func() // ends all waits

	mu     sync.Mutex
	taken  int // jobs
	acked   int
	waits  []time.Duration
	change chan struct{}
}

// startNotifier starts a pusher whose waits last until open is called.
func (w *fixture) startNotifier(cfg notifier.Config) *runningNotifier {
	w.Helper()
	gate := make(chan time.Time)
	p := &runningNotifier{w: w, change: make(chan struct{}), releaseTimers: sync.OnceFunc(func() { close(gate) })}
	cfg.Store, cfg.Sender, cfg.Logger, cfg.Delay = w.store, w.sender, w.log, time.Hour
	if cfg.Locator == nil {
		cfg.Locator = w.presence
	}
	cfg.After = func(d time.Duration) <-chan time.Time {
		p.update(func() { p.waits = append(p.waits, d) })
		return gate
	}
	run, err := notifier.New(cfg)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run.Run(ctx, p) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("Run: %v", err)
		}
	})
	w.Cleanup(p.stop)
	return p
}

func (p *runningNotifier) update(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.change)
	p.change = make(chan struct{})
}

// Consume is the queue, with an eye on what is done.
func (p *runningNotifier) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	return p.w.queue.Consume(ctx, func(ctx context.Context, d notifyqueue.Delivery) {
		done, n := d.Ack, len(d.Jobs)
		d.Ack = func() {
			done()
			p.update(func() { p.acked += n })
		}
		handle(ctx, d)
		p.update(func() { p.taken += n })
	})
}

func (p *runningNotifier) wait(what string, ok func() bool) {
	p.w.Helper()
	timeout := time.After(testTimeout)
	for {
		p.mu.Lock()
		so, change := ok(), p.change
		p.mu.Unlock()
		if so {
			return
		}
		select {
		case <-change:
		case <-timeout:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.w.Fatalf("never happened: %s (%d jobs taken, %d done; refused: %v)", what, p.taken, p.acked, p.w.service.Refused())
		}
	}
}

// waitTaken waits until the pusher knows of so many jobs.
func (p *runningNotifier) waitTaken(jobs int) {
	p.w.Helper()
	p.wait("the jobs are taken", func() bool { return p.taken >= jobs })
}

// waitAcked waits until so many jobs are done.
func (p *runningNotifier) waitAcked(jobs int) {
	p.w.Helper()
	p.wait("the jobs are done", func() bool { return p.acked >= jobs })
}

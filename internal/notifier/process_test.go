package notifier_test

import (
	"context"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
)

// process is a pusher at work. It waits for nothing but for what the test says.
type process struct {
	w    *world
	stop func()
	open func() // ends all waits

	mu     sync.Mutex
	taken  int // jobs
	done   int
	waits  []time.Duration
	change chan struct{}
}

// start starts a pusher whose waits last until open is called.
func (w *world) start(cfg notifier.Config) *process {
	w.Helper()
	gate := make(chan time.Time)
	p := &process{w: w, change: make(chan struct{}), open: sync.OnceFunc(func() { close(gate) })}
	cfg.Store, cfg.Sender, cfg.Logger, cfg.Delay = w.store, w.sender, w.log, 10*time.Minute
	if cfg.Locator == nil {
		cfg.Locator = w.presence
	}
	cfg.After = func(d time.Duration) <-chan time.Time {
		p.note(func() { p.waits = append(p.waits, d) })
		return gate
	}
	run, err := notifier.New(cfg)
	w.ok(err)
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

func (p *process) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.change)
	p.change = make(chan struct{})
}

// Consume is the queue, with an eye on what is done.
func (p *process) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	return p.w.queue.Consume(ctx, func(ctx context.Context, d notifyqueue.Delivery) {
		done, n := d.Done, len(d.Jobs)
		d.Done = func() {
			done()
			p.note(func() { p.done += n })
		}
		handle(ctx, d)
		p.note(func() { p.taken += n })
	})
}

func (p *process) wait(what string, ok func() bool) {
	p.w.Helper()
	timeout := time.After(patience)
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
			p.w.Fatalf("never happened: %s (%d jobs taken, %d done; refused: %v)", what, p.taken, p.done, p.w.service.Refused())
		}
	}
}

// has waits until the pusher knows of so many jobs.
func (p *process) has(jobs int) {
	p.w.Helper()
	p.wait("the jobs are taken", func() bool { return p.taken >= jobs })
}

// finished waits until so many jobs are done.
func (p *process) finished(jobs int) {
	p.w.Helper()
	p.wait("the jobs are done", func() bool { return p.done >= jobs })
}

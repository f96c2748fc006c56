package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// ConnectOptions says how people come online. Zero values mean the defaults.
type ConnectOptions struct {
	Rate          float64       // connections that are due each second; 0 means as fast as they come
	Concurrency   int           // opened side by side, at most; default 64
	Timeout       time.Duration // patience for each; default 30 s
	AllowFailures bool          // those that fail are counted; else the first one ends it
	OnTick        func(Second)  // once a second; may be nil
}

func (o ConnectOptions) withDefaults() ConnectOptions {
	if o.Concurrency == 0 {
		o.Concurrency = 64
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	return o
}

// Connect brings everyone online. How long each took counts from the moment
// that it was due.
func (c *VirtualUsers) Connect(ctx context.Context, o ConnectOptions) (*ConnectResult, error) {
	people := make([]int, len(c.users))
	for i := range people {
		people[i] = i
	}
	opened, err := c.connect(ctx, o, people, c.site.Connect, func(i int) time.Duration {
		if o.Rate <= 0 {
			return 0
		}
		return time.Duration(float64(i) / o.Rate * float64(time.Second))
	}, false)
	c.senders = slices.DeleteFunc(c.senders, func(t Sender) bool { return !c.allConnected(t.Room) })
	return opened, err
}

// allConnected tells whether all members of a room are connected. Nothing is said in
// one of which somebody could not be: it would count as lost.
func (c *VirtualUsers) allConnected(room int) bool {
	return !slices.ContainsFunc(c.plan.Rooms[room], func(member int) bool { return c.users[member].currentConn() == nil })
}

// connect connects people in the order given, each when it is due at the earliest.
// How long each took counts from then, or from the call.
func (c *VirtualUsers) connect(ctx context.Context, o ConnectOptions, people []int,
	connect func(context.Context, int, target.Listener) (target.Conn, error), due func(i int) time.Duration, fromCall bool,
) (*ConnectResult, error) {
	o = o.withDefaults()
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	start := c.elapsed()
	r := &recording{start: start, measuredFrom: start}
	var mu sync.Mutex // guards out
	out := &ConnectResult{}
	var took histogram
	failed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if len(out.Errors) < maxErrors {
			out.Errors = append(out.Errors, err.Error())
		}
		if !o.AllowFailures {
			giveUp()
		}
	}
	one := func(p *virtualUser, at time.Duration) {
		each, cancel := context.WithTimeout(ctx, o.Timeout)
		defer cancel()
		conn, err := connect(each, p.index, p)
		if err != nil {
			failed(fmt.Errorf("connect person %d: %w", p.index, err))
			return
		}
		c.connected.Add(1)
		p.mu.Lock()
		p.conn = conn
		p.mu.Unlock()
		now := c.elapsed()
		took.record(now - at)
		r.second.record(now - at)
		mu.Lock()
		defer mu.Unlock()
		out.Succeeded++
		out.Elapsed = max(out.Elapsed, now-start)
	}
	stop, ticked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticked)
		c.reportSeconds(r, o.OnTick, stop)
	}()
	var connecting sync.WaitGroup
	free := make(chan struct{}, o.Concurrency)
	for i, index := range people {
		at := start + due(i)
		if wait := at - c.elapsed(); wait > 0 {
			sleep(ctx, wait)
		}
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		switch {
		case fromCall:
			at = start
		case due(i) == 0:
			at = c.elapsed()
		}
		out.Attempted++
		connecting.Go(func() {
			defer func() { <-free }()
			one(c.users[index], at)
		})
	}
	connecting.Wait()
	close(stop)
	<-ticked
	out.Durations = took.take()
	if !o.AllowFailures && len(out.Errors) > 0 {
		return out, errors.New(out.Errors[0])
	}
	return out, context.Cause(ctx)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

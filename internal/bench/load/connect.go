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

// Opening says how people come online. Zero values mean the defaults.
type Opening struct {
	PerSecond float64       // connections that are due each second; 0 means as fast as they come
	AtOnce    int           // opened side by side, at most; default 64
	Each      time.Duration // patience for each; default 30 s
	Lossy     bool          // those that fail are counted; else the first one ends it
	OnTick    func(Second)  // once a second; may be nil
}

func (o Opening) withDefaults() Opening {
	if o.AtOnce == 0 {
		o.AtOnce = 64
	}
	if o.Each == 0 {
		o.Each = 30 * time.Second
	}
	return o
}

// Connect brings everyone online. How long each took counts from the moment
// that it was due.
func (c *VirtualUsers) Connect(ctx context.Context, o Opening) (*Opened, error) {
	people := make([]int, len(c.people))
	for i := range people {
		people[i] = i
	}
	opened, err := c.bring(ctx, o, people, c.site.Connect, func(i int) time.Duration {
		if o.PerSecond <= 0 {
			return 0
		}
		return time.Duration(float64(i) / o.PerSecond * float64(time.Second))
	}, false)
	c.turns = slices.DeleteFunc(c.turns, func(t Turn) bool { return !c.complete(t.Room) })
	return opened, err
}

// complete tells whether all members of a room are connected. Nothing is said in
// one of which somebody could not be: it would count as lost.
func (c *VirtualUsers) complete(room int) bool {
	return !slices.ContainsFunc(c.plan.Rooms[room], func(member int) bool { return c.people[member].connection() == nil })
}

// bring connects people in the order given, each when it is due at the earliest.
// How long each took counts from then, or from the call.
func (c *VirtualUsers) bring(ctx context.Context, o Opening, people []int,
	connect func(context.Context, int, target.Listener) (target.Conn, error), due func(i int) time.Duration, fromCall bool,
) (*Opened, error) {
	o = o.withDefaults()
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	start := c.elapsed()
	r := &recording{from: start, warm: start}
	var mu sync.Mutex // guards out
	out := &Opened{}
	var took histogram
	failed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if len(out.Errors) < mostErrors {
			out.Errors = append(out.Errors, err.Error())
		}
		if !o.Lossy {
			giveUp()
		}
	}
	one := func(p *person, at time.Duration) {
		each, cancel := context.WithTimeout(ctx, o.Each)
		defer cancel()
		conn, err := connect(each, p.index, p)
		if err != nil {
			failed(fmt.Errorf("connect person %d: %w", p.index, err))
			return
		}
		c.open.Add(1)
		p.mu.Lock()
		p.conn = conn
		p.mu.Unlock()
		now := c.elapsed()
		took.record(now - at)
		r.second.record(now - at)
		mu.Lock()
		defer mu.Unlock()
		out.Succeeded++
		out.Time = max(out.Time, now-start)
	}
	stop, ticked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticked)
		c.watch(r, o.OnTick, stop)
	}()
	var connecting sync.WaitGroup
	free := make(chan struct{}, o.AtOnce)
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
			one(c.people[index], at)
		})
	}
	connecting.Wait()
	close(stop)
	<-ticked
	out.Took = took.take()
	if !o.Lossy && len(out.Errors) > 0 {
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

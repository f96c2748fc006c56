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

// Connect connects all users. Durations count from the time when each
// connection was due.
func (v *VirtualUsers) Connect(ctx context.Context, o ConnectOptions) (*ConnectResult, error) {
	users := make([]int, len(v.users))
	for i := range users {
		users[i] = i
	}
	result, err := v.connect(ctx, o, users, v.site.Connect, func(i int) time.Duration {
		if o.Rate <= 0 {
			return 0
		}
		return time.Duration(float64(i) / o.Rate * float64(time.Second))
	}, false)
	v.senders = slices.DeleteFunc(v.senders, func(t Sender) bool { return !v.allConnected(t.Room) })
	return result, err
}

// allConnected reports whether all members of a room are connected. Nothing is
// sent in a room where one is missing: the message would count as lost.
func (v *VirtualUsers) allConnected(room int) bool {
	return !slices.ContainsFunc(v.plan.Rooms[room], func(member int) bool { return v.users[member].currentConn() == nil })
}

// connect connects users in the given order, each not before it is due.
// Durations count from then, or from the call when fromCall is set.
func (v *VirtualUsers) connect(ctx context.Context, o ConnectOptions, users []int,
	connect func(context.Context, int, target.Listener) (target.Conn, error), due func(i int) time.Duration, fromCall bool,
) (*ConnectResult, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	start := v.elapsed()
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
	one := func(u *virtualUser, at time.Duration) {
		each, cancel := context.WithTimeout(ctx, o.Timeout)
		defer cancel()
		conn, err := connect(each, u.index, u)
		if err != nil {
			failed(fmt.Errorf("connect person %d: %w", u.index, err))
			return
		}
		v.connected.Add(1)
		u.mu.Lock()
		u.conn = conn
		u.mu.Unlock()
		now := v.elapsed()
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
		v.reportSeconds(r, o.OnTick, stop)
	}()
	var connecting sync.WaitGroup
	free := make(chan struct{}, o.Concurrency)
	for i, index := range users {
		at := start + due(i)
		if wait := at - v.elapsed(); wait > 0 {
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
			at = v.elapsed()
		}
		out.Attempted++
		connecting.Go(func() {
			defer func() { <-free }()
			one(v.users[index], at)
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

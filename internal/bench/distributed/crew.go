package distributed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Coordinator is a crowd of several processes. As of one in this process, its methods
// may be called one at a time.
type Coordinator struct {
	agents  []*conn
	shares  []share
	ended   []int64
	version string
}

// Agent is a process that serves orders, and how it reaches the system.
type Agent struct {
	io.ReadWriteCloser
	Target []byte
}

// Prepare divides a plan between hands and has them prepare it. Closing the crew
// closes the hands.
func Prepare(ctx context.Context, hands []Agent, plan target.Plan, o load.Options) (*Coordinator, error) {
	c := &Coordinator{ended: make([]int64, len(hands))}
	for _, h := range hands {
		c.agents = append(c.agents, newConn(h))
	}
	var err error
	if c.shares, err = divide(plan, len(hands)); err != nil {
		c.Close()
		return nil, err
	}
	_, err = c.broadcast(ctx, nil, func(i int) command {
		return command{Prepare: &prepareCommand{Target: hands[i].Target, Plan: c.shares[i].plan, Options: o}}
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// share is a hand's share of a plan.
type share struct {
	plan    target.Plan
	senders int // memberships: who speaks where
}

var errIndivisible = errors.New("people who talk with each other cannot be divided between processes: run this in one")

// divide gives each hand people next to each other, about as many as the others,
// and the conversations of those.
func divide(plan target.Plan, hands int) ([]share, error) {
	if hands > plan.Users {
		return nil, fmt.Errorf("%d people cannot be divided between %d processes", plan.Users, hands)
	}
	ends := make([]int, hands)
	for i := range ends {
		ends[i] = (i + 1) * plan.Users / hands
	}
	for _, members := range plan.Rooms {
		first, last := slices.Min(members), slices.Max(members)
		for i, end := range ends[:hands-1] {
			if first < end && end <= last { // somebody is on the other side
				ends[i] = last + 1
			}
		}
	}
	parts := make([]share, hands)
	begin := 0
	for i, end := range ends {
		if end <= begin {
			return nil, errIndivisible
		}
		p := &parts[i]
		p.plan = target.Plan{Run: fmt.Sprintf("%sx%d", plan.Run, i), Users: end - begin}
		for _, members := range plan.Rooms {
			first, last := slices.Min(members), slices.Max(members)
			if first < begin || first >= end {
				continue
			}
			if last >= end {
				return nil, errIndivisible
			}
			mine := make([]int, len(members))
			for m, member := range members {
				mine[m] = member - begin
			}
			p.plan.Rooms = append(p.plan.Rooms, mine)
			p.senders += len(members)
		}
		begin = end
	}
	return parts, nil
}

// broadcast gives every hand an order and waits for all answers. The first that fails
// ends the others' waiting: what they do then is of no use.
func (c *Coordinator) broadcast(ctx context.Context, tick func(load.Second), of func(i int) command) ([]response, error) {
	answers := make([]response, len(c.agents))
	seconds := newSecondsMerger(len(c.agents), tick)
	var group errgroup.Group
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	for i, h := range c.agents {
		group.Go(func() (err error) {
			answers[i], err = h.call(of(i), func(s load.Second) { seconds.add(i, s) })
			seconds.finish(i)
			if err != nil {
				c.Close()
				return fmt.Errorf("process %d of the load tool: %w", i+1, err)
			}
			return nil
		})
	}
	err := group.Wait()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	for i, a := range answers {
		c.ended[i] = max(c.ended[i], a.Ended)
		if a.Version != "" {
			c.version = a.Version
		}
	}
	return answers, err
}

// call gives a hand an order and waits for its answer.
func (w *conn) call(o command, tick func(load.Second)) (a response, err error) {
	if err := w.enc.Encode(o); err != nil {
		return a, fmt.Errorf("it takes no orders: %w", err)
	}
	for {
		a = response{}
		if err := w.dec.Decode(&a); err != nil {
			return a, fmt.Errorf("it has ended: %w", err)
		}
		if a.Second != nil {
			tick(*a.Second)
		}
		if a.Done {
			if a.Err != "" {
				err = errors.New(a.Err)
			}
			return a, err
		}
	}
}

// Connect brings everyone online.
func (c *Coordinator) Connect(ctx context.Context, o load.ConnectOptions) (*load.ConnectResult, error) {
	people := 0
	for _, p := range c.shares {
		people += p.plan.Users
	}
	answers, err := c.broadcast(ctx, o.OnTick, func(i int) command {
		share := o
		share.Rate = o.Rate * float64(c.shares[i].plan.Users) / float64(people)
		if o.Concurrency > 0 {
			share.Concurrency = max(1, o.Concurrency/len(c.agents))
		}
		return command{Connect: &share}
	})
	out := &load.ConnectResult{}
	for _, a := range answers {
		if a.Connected != nil {
			out.Add(a.Connected)
		}
	}
	return out, err
}

// startDelay is how long orders take to reach all hands, with some to spare: they
// begin at the same time.
const startDelay = 200 * time.Millisecond

// RunPhase has everyone talk for a stretch.
func (c *Coordinator) RunPhase(ctx context.Context, s load.Phase) (*load.Result, error) {
	if s.Senders != nil {
		return nil, errors.New("who speaks where cannot be told to several processes")
	}
	turns := 0
	for _, p := range c.shares {
		turns += p.senders
	}
	s.Start = time.Now().Add(startDelay)
	answers, err := c.broadcast(ctx, s.OnTick, func(i int) command {
		share := s
		if turns > 0 {
			share.Rate = s.Rate * float64(c.shares[i].senders) / float64(turns)
		}
		return command{RunPhase: &share}
	})
	out := &load.Result{}
	for _, a := range answers {
		if a.Result != nil {
			out.Add(a.Result)
		}
	}
	out.Rate = s.Rate // what the shares add up to is a little off
	return out, err
}

// Check judges every message.
func (c *Coordinator) Check(ctx context.Context) (*audit.Verdict, error) {
	answers, err := c.broadcast(ctx, nil, func(int) command { return command{Check: true} })
	if err != nil {
		return nil, err
	}
	out := &audit.Verdict{}
	for i, a := range answers {
		v := a.Verdict
		for n, o := range v.Violations {
			v.Violations[n] = fmt.Sprintf("process %d: %s", i+1, o)
		}
		out.Add(v)
	}
	return out, nil
}

// Ended is how many connections have ended though nobody wished it, as of the
// last order.
func (c *Coordinator) Ended() (sum int64) {
	for _, n := range c.ended {
		sum += n
	}
	return sum
}

// Version is what the system says of itself.
func (c *Coordinator) Version() string { return c.version }

// Close ends the hands, and with them their connections.
func (c *Coordinator) Close() {
	var closing sync.WaitGroup
	for _, h := range c.agents {
		closing.Go(func() { _ = h.Close() })
	}
	closing.Wait()
}

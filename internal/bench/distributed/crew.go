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
	hands   []*wire
	parts   []part
	ended   []int64
	version string
}

// Agent is a process that serves orders, and how it reaches the system.
type Agent struct {
	io.ReadWriteCloser
	Target []byte
}

// Gather divides a plan between hands and has them prepare it. Closing the crew
// closes the hands.
func Gather(ctx context.Context, hands []Agent, plan target.Plan, o load.Options) (*Coordinator, error) {
	c := &Coordinator{ended: make([]int64, len(hands))}
	for _, h := range hands {
		c.hands = append(c.hands, newWire(h))
	}
	var err error
	if c.parts, err = divide(plan, len(hands)); err != nil {
		c.Close()
		return nil, err
	}
	_, err = c.all(ctx, nil, func(i int) order {
		return order{Gather: &gathering{Target: hands[i].Target, Plan: c.parts[i].plan, Options: o}}
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// part is a hand's share of a plan.
type part struct {
	plan  target.Plan
	turns int // memberships: who speaks where
}

var errTogether = errors.New("people who talk with each other cannot be divided between processes: run this in one")

// divide gives each hand people next to each other, about as many as the others,
// and the conversations of those.
func divide(plan target.Plan, hands int) ([]part, error) {
	if hands > plan.People {
		return nil, fmt.Errorf("%d people cannot be divided between %d processes", plan.People, hands)
	}
	ends := make([]int, hands)
	for i := range ends {
		ends[i] = (i + 1) * plan.People / hands
	}
	for _, members := range plan.Rooms {
		first, last := slices.Min(members), slices.Max(members)
		for i, end := range ends[:hands-1] {
			if first < end && end <= last { // somebody is on the other side
				ends[i] = last + 1
			}
		}
	}
	parts := make([]part, hands)
	begin := 0
	for i, end := range ends {
		if end <= begin {
			return nil, errTogether
		}
		p := &parts[i]
		p.plan = target.Plan{Run: fmt.Sprintf("%sx%d", plan.Run, i), People: end - begin}
		for _, members := range plan.Rooms {
			first, last := slices.Min(members), slices.Max(members)
			if first < begin || first >= end {
				continue
			}
			if last >= end {
				return nil, errTogether
			}
			mine := make([]int, len(members))
			for m, member := range members {
				mine[m] = member - begin
			}
			p.plan.Rooms = append(p.plan.Rooms, mine)
			p.turns += len(members)
		}
		begin = end
	}
	return parts, nil
}

// all gives every hand an order and waits for all answers. The first that fails
// ends the others' waiting: what they do then is of no use.
func (c *Coordinator) all(ctx context.Context, tick func(load.Second), of func(i int) order) ([]answer, error) {
	answers := make([]answer, len(c.hands))
	seconds := newSeconds(len(c.hands), tick)
	var group errgroup.Group
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	for i, h := range c.hands {
		group.Go(func() (err error) {
			answers[i], err = h.ask(of(i), func(s load.Second) { seconds.take(i, s) })
			seconds.end(i)
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

// ask gives a hand an order and waits for its answer.
func (w *wire) ask(o order, tick func(load.Second)) (a answer, err error) {
	if err := w.enc.Encode(o); err != nil {
		return a, fmt.Errorf("it takes no orders: %w", err)
	}
	for {
		a = answer{}
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
func (c *Coordinator) Connect(ctx context.Context, o load.Opening) (*load.Opened, error) {
	people := 0
	for _, p := range c.parts {
		people += p.plan.People
	}
	answers, err := c.all(ctx, o.OnTick, func(i int) order {
		share := o
		share.PerSecond = o.PerSecond * float64(c.parts[i].plan.People) / float64(people)
		if o.AtOnce > 0 {
			share.AtOnce = max(1, o.AtOnce/len(c.hands))
		}
		return order{Connect: &share}
	})
	out := &load.Opened{}
	for _, a := range answers {
		if a.Opened != nil {
			out.Add(a.Opened)
		}
	}
	return out, err
}

// together is how long orders take to reach all hands, with some to spare: they
// begin at the same time.
const together = 200 * time.Millisecond

// Talk has everyone talk for a stretch.
func (c *Coordinator) Talk(ctx context.Context, s load.Phase) (*load.Result, error) {
	if s.Turns != nil {
		return nil, errors.New("who speaks where cannot be told to several processes")
	}
	turns := 0
	for _, p := range c.parts {
		turns += p.turns
	}
	s.Begin = time.Now().Add(together)
	answers, err := c.all(ctx, s.OnTick, func(i int) order {
		share := s
		if turns > 0 {
			share.Rate = s.Rate * float64(c.parts[i].turns) / float64(turns)
		}
		return order{Talk: &share}
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
	answers, err := c.all(ctx, nil, func(int) order { return order{Check: true} })
	if err != nil {
		return nil, err
	}
	out := &audit.Verdict{}
	for i, a := range answers {
		v := a.Verdict
		for n, o := range v.Offenders {
			v.Offenders[n] = fmt.Sprintf("process %d: %s", i+1, o)
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
	for _, h := range c.hands {
		closing.Go(func() { _ = h.Close() })
	}
	closing.Wait()
}

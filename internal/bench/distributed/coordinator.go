package distributed

import (
	"cmp"
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
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Options say among how many processes a run is divided.
type Options struct {
	Processes int // 1 to 64, and at most Pairs; default 1
	Pairs     int // pairs of users who send: each process needs one
}

// WithDefaults returns o with the default for each zero.
func (o Options) WithDefaults() Options {
	o.Processes = cmp.Or(o.Processes, 1)
	return o
}

// Validate returns the first error of a field; a zero is one.
func (o Options) Validate() error {
	return setting.Between("processes", o.Processes, 1, max(1, min(64, o.Pairs)), "a number of processes that each have a pair of users, such as 1")
}

// Coordinator controls virtual users in several processes. As with
// load.VirtualUsers, only one method may be called at a time.
type Coordinator struct {
	agents  []*conn
	shares  []share
	ended   []int64
	version string
}

// Agent is the connection to a process that runs Serve, and how that process
// reaches the system.
type Agent struct {
	io.ReadWriteCloser
	Target []byte
}

// Prepare divides a plan among agents and has them prepare it. Close closes the
// agents, as does an error.
func Prepare(ctx context.Context, agents []Agent, plan target.Plan, o load.Options) (*Coordinator, error) {
	c := &Coordinator{ended: make([]int64, len(agents))}
	for _, h := range agents {
		c.agents = append(c.agents, newConn(h))
	}
	var err error
	if c.shares, err = divide(plan, len(agents)); err != nil {
		c.Close()
		return nil, err
	}
	_, err = c.broadcast(ctx, nil, func(i int) command {
		return command{Prepare: &prepareCommand{Target: agents[i].Target, Plan: c.shares[i].plan, Options: o}}
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// share is an agent's share of a plan.
type share struct {
	plan    target.Plan
	senders int // memberships
}

var errIndivisible = errors.New("users of one conversation cannot be divided among processes: run this scenario in one")

// divide gives each agent consecutive users, about as many as the others, and
// their conversations.
func divide(plan target.Plan, agents int) ([]share, error) {
	if agents > plan.Users {
		return nil, fmt.Errorf("%d users cannot be divided among %d processes", plan.Users, agents)
	}
	ends := make([]int, agents)
	for i := range ends {
		ends[i] = (i + 1) * plan.Users / agents
	}
	for _, members := range plan.Rooms {
		first, last := slices.Min(members), slices.Max(members)
		for i, end := range ends[:agents-1] {
			if first < end && end <= last { // the conversation crosses the boundary
				ends[i] = last + 1
			}
		}
	}
	parts := make([]share, agents)
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
			local := make([]int, len(members))
			for m, member := range members {
				local[m] = member - begin
			}
			p.plan.Rooms = append(p.plan.Rooms, local)
			p.senders += len(members)
		}
		begin = end
	}
	return parts, nil
}

// broadcast sends a command to every agent and waits for all responses. The
// first error closes all agents: what the others do then is of no use.
func (c *Coordinator) broadcast(ctx context.Context, tick func(load.Second), of func(i int) command) ([]response, error) {
	responses := make([]response, len(c.agents))
	seconds := newSecondsMerger(len(c.agents), tick)
	var group errgroup.Group
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		c.Close()
	})
	defer func() {
		if !stop() {
			<-closed
		}
	}()
	for i, h := range c.agents {
		group.Go(func() (err error) {
			responses[i], err = h.call(of(i), func(s load.Second) { seconds.add(i, s) })
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
	for i, a := range responses {
		c.ended[i] = max(c.ended[i], a.Ended)
		if a.Version != "" {
			c.version = a.Version
		}
	}
	return responses, err
}

// call sends a command to an agent and waits for its response.
func (c *conn) call(cmd command, tick func(load.Second)) (res response, err error) {
	if err := c.enc.Encode(cmd); err != nil {
		return res, fmt.Errorf("send a command: %w", err)
	}
	for {
		res = response{}
		if err := c.dec.Decode(&res); err != nil {
			return res, fmt.Errorf("read the response: %w", err)
		}
		if res.Second != nil {
			tick(*res.Second)
		}
		if res.Done {
			if res.Err != "" {
				err = errors.New(res.Err)
			}
			return res, err
		}
	}
}

// Connect connects all users.
func (c *Coordinator) Connect(ctx context.Context, o load.ConnectOptions) (*load.ConnectResult, error) {
	users := 0
	for _, p := range c.shares {
		users += p.plan.Users
	}
	responses, err := c.broadcast(ctx, o.OnTick, func(i int) command {
		share := o
		share.Rate = o.Rate * float64(c.shares[i].plan.Users) / float64(users)
		if o.Concurrency > 0 {
			share.Concurrency = max(1, o.Concurrency/len(c.agents))
		}
		return command{Connect: &share}
	})
	out := &load.ConnectResult{}
	for _, a := range responses {
		if a.Connected != nil {
			out.Add(a.Connected)
		}
	}
	return out, err
}

// startDelay is longer than a command takes to reach all agents, so that they
// start at the same time.
const startDelay = 200 * time.Millisecond

// RunPhase has all users send for a phase.
func (c *Coordinator) RunPhase(ctx context.Context, s load.Phase) (*load.Result, error) {
	if s.Senders != nil {
		return nil, errors.New("a choice of senders is not supported with several processes")
	}
	senders := 0
	for _, p := range c.shares {
		senders += p.senders
	}
	s.Start = time.Now().Add(startDelay)
	responses, err := c.broadcast(ctx, s.OnTick, func(i int) command {
		share := s
		if senders > 0 {
			share.Rate = s.Rate * float64(c.shares[i].senders) / float64(senders)
		}
		return command{RunPhase: &share}
	})
	out := &load.Result{}
	for _, a := range responses {
		if a.Result != nil {
			out.Add(a.Result)
		}
	}
	out.Rate = s.Rate // the sum of the shares is a little off
	return out, err
}

// Check checks every message.
func (c *Coordinator) Check(ctx context.Context) (*audit.Verdict, error) {
	responses, err := c.broadcast(ctx, nil, func(int) command { return command{Check: true} })
	if err != nil {
		return nil, err
	}
	out := &audit.Verdict{}
	for i, a := range responses {
		v := a.Verdict
		for n, text := range v.Violations {
			v.Violations[n] = fmt.Sprintf("process %d: %s", i+1, text)
		}
		out.Add(v)
	}
	return out, nil
}

// Ended returns how many connections had ended unexpectedly by the last
// command.
func (c *Coordinator) Ended() (sum int64) {
	for _, n := range c.ended {
		sum += n
	}
	return sum
}

// Version returns the version that the system reports.
func (c *Coordinator) Version() string { return c.version }

// Close closes the agents, and with them their connections.
func (c *Coordinator) Close() {
	var closing sync.WaitGroup
	for _, h := range c.agents {
		closing.Go(func() { _ = h.Close() })
	}
	closing.Wait()
}

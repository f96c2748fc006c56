package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
)

type benchLatency struct {
	benchRun
	Users     []int         `default:"200" help:"Number of users, in pairs; several numbers are tried one after the other (${default})." placeholder:"N"`
	From      float64       `default:"500" help:"First rate, in messages per second (${default})." placeholder:"RATE"`
	To        float64       `default:"100000" help:"Last rate (${default})." placeholder:"RATE"`
	Factor    float64       `default:"1.5" help:"Factor from one rate to the next (${default})."`
	Halvings  int           `default:"2" help:"Bisection steps between the last good and the first bad rate (${default})." placeholder:"N"`
	Step      time.Duration `default:"10s" help:"Measured time of each rate (${default})."`
	WarmUp    time.Duration `default:"2s" help:"Warm-up before it, which is not measured (${default})."`
	MaxP95    time.Duration `name:"max-p95" default:"170ms" help:"The limit (${default})."`
	Processes int           `default:"1" help:"Processes of the load tool (${default})." placeholder:"N"`
}

func (c *benchLatency) check() error {
	switch {
	case c.From <= 0 || c.To < c.From:
		return errors.New("--from, --to: the rates must rise, from above 0")
	case c.Factor <= 1 || c.Factor > 10:
		return fmt.Errorf("--factor: %v is not above 1 and at most 10", c.Factor)
	case c.Halvings < 0 || c.Halvings > 20:
		return fmt.Errorf("--halvings: %d is not between 0 and 20", c.Halvings)
	case c.Step < time.Second || c.WarmUp < 0:
		return errors.New("--step, --warm-up: a step is at least 1s long, its warm-up not negative")
	}
	for _, users := range c.Users {
		if err := errors.Join(checkPairs(users), checkProcesses(c.Processes, users/2)); err != nil {
			return err
		}
	}
	return c.benchRun.check()
}

// Run measures.
func (c *benchLatency) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.run(ctx, std, "latency", c.scenario(), c.Processes, c.parameters())
}

func (c *benchLatency) scenario() *scenario.Latency {
	return &scenario.Latency{
		Users: c.Users, From: c.From, To: c.To, Factor: c.Factor, Halvings: c.Halvings, Step: c.Step, WarmUp: c.WarmUp, MaxP95: c.MaxP95,
	}
}

func (c *benchLatency) parameters() map[string]string {
	return map[string]string{
		"users": list(c.Users),
		"from":  fmt.Sprint(c.From), "to": fmt.Sprint(c.To), "factor": fmt.Sprint(c.Factor), "halvings": strconv.Itoa(c.Halvings),
		"step": c.Step.String(), "warm_up": c.WarmUp.String(), "max_p95": c.MaxP95.String(),
	}
}

type benchBurst struct {
	benchRun
	Users     int           `default:"200" help:"Number of users, in pairs (${default})." placeholder:"N"`
	Load      float64       `default:"20000" help:"Messages per second, far above what is sustainable (${default})." placeholder:"RATE"`
	Length    time.Duration `default:"30s" help:"Duration (${default})."`
	Wait      time.Duration `default:"5m" help:"How long to wait afterwards until everything has arrived (${default})."`
	Processes int           `default:"1" help:"Processes of the load tool (${default})." placeholder:"N"`
}

func (c *benchBurst) check() error {
	if c.Load <= 0 || c.Length < time.Second || c.Wait < 0 {
		return errors.New("--load, --length, --wait: a burst has a rate above 0 and lasts 1s at least")
	}
	return errors.Join(checkPairs(c.Users), checkProcesses(c.Processes, c.Users/2), c.benchRun.check())
}

// Run measures.
func (c *benchBurst) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.run(ctx, std, "burst", c.scenario(), c.Processes, c.parameters())
}

func (c *benchBurst) scenario() *scenario.Burst {
	return &scenario.Burst{Users: c.Users, Rate: c.Load, Duration: c.Length, Drain: c.Wait}
}

func (c *benchBurst) parameters() map[string]string {
	return map[string]string{
		"users": strconv.Itoa(c.Users), "load": fmt.Sprint(c.Load), "length": c.Length.String(), "wait": c.Wait.String(),
	}
}

type benchConnections struct {
	benchRun
	Count     int           `default:"10000" help:"Number of connections, each of a different user (${default})." placeholder:"N"`
	PerSecond float64       `default:"0" help:"Connections that are opened each second; 0 for as fast as possible (${default})." placeholder:"N"`
	AtOnce    int           `default:"128" help:"Connections that are being opened at the same time, at most (${default})." placeholder:"N"`
	Hold      time.Duration `default:"30s" help:"How long they are kept open (${default})."`
	Sample    int           `default:"200" help:"Number of users who send afterwards, in pairs (${default})." placeholder:"N"`
	Rate      float64       `default:"200" help:"Messages per second that they send (${default})." placeholder:"RATE"`
	Processes int           `default:"0" help:"Processes of the load tool; 0 for as many as the limit of open files requires (${default})." placeholder:"N"`
}

func (c *benchConnections) check() error {
	switch {
	case c.Count < 2 || c.Count > 1_000_000:
		return fmt.Errorf("--count: %d is not between 2 and 1000000", c.Count)
	case c.AtOnce < 1 || c.PerSecond < 0 || c.Hold < 0:
		return errors.New("--at-once, --per-second, --hold: at least 1 at once, and nothing below 0")
	case c.Sample < 2 || c.Sample > c.Count || c.Rate <= 0:
		return errors.New("--sample, --rate: from 2 users to all of them send, at a rate above 0")
	}
	if c.Processes == 0 {
		c.Processes = processesFor(c.Count)
	}
	return errors.Join(checkProcesses(c.Processes, c.Sample/2), c.benchRun.check())
}

// Run measures.
func (c *benchConnections) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.run(ctx, std, "connections", c.scenario(), c.Processes, c.parameters())
}

func (c *benchConnections) scenario() *scenario.Connections {
	return &scenario.Connections{Users: c.Count, ConnectRate: c.PerSecond, Concurrency: c.AtOnce, Hold: c.Hold, Sample: c.Sample, Rate: c.Rate}
}

func (c *benchConnections) parameters() map[string]string {
	return map[string]string{
		"count": strconv.Itoa(c.Count), "per_second": fmt.Sprint(c.PerSecond), "at_once": strconv.Itoa(c.AtOnce), "hold": c.Hold.String(),
		"sample": strconv.Itoa(c.Sample), "rate": fmt.Sprint(c.Rate),
	}
}

type benchFanout struct {
	benchRun
	Sizes      []int         `default:"100,1000,10000" help:"Members of each room (${default})." placeholder:"N"`
	Deliveries float64       `default:"20000" help:"Target of receipts per second in each room (${default})." placeholder:"RATE"`
	Speakers   int           `default:"20" help:"Members of a room who send (${default})." placeholder:"N"`
	Length     time.Duration `default:"20s" help:"Measured time of each room (${default})."`
	WarmUp     time.Duration `default:"2s" help:"Warm-up before it, which is not measured (${default})."`
}

// Run measures.
func (c *benchFanout) Run(ctx context.Context, std streams) error {
	for _, size := range c.Sizes {
		if size < 2 || size > connectionsPerProcess {
			return fmt.Errorf("--sizes: a room of %d; one process can be from 2 to %d users", size, connectionsPerProcess)
		}
	}
	if c.Deliveries <= 0 || c.Speakers < 1 || c.Length < time.Second || c.WarmUp < 0 {
		return errors.New("--deliveries, --speakers, --length: above 0, at least 1, and at least 1s")
	}
	if err := c.check(); err != nil {
		return err
	}
	return c.run(ctx, std, "fanout", &scenario.Fanout{
		Sizes: c.Sizes, Deliveries: c.Deliveries, Senders: c.Speakers, Duration: c.Length, WarmUp: c.WarmUp,
	}, 1, map[string]string{
		"sizes": list(c.Sizes), "deliveries": fmt.Sprint(c.Deliveries), "speakers": strconv.Itoa(c.Speakers),
		"length": c.Length.String(), "warm_up": c.WarmUp.String(),
	})
}

type benchReconnect struct {
	benchRun
	Users  int           `default:"10000" help:"Number of users, in pairs (${default})." placeholder:"N"`
	Rate   float64       `default:"1000" help:"Messages per second, before, in between and afterwards (${default})." placeholder:"RATE"`
	Apart  time.Duration `default:"5s" help:"How much earlier one of each pair is disconnected, so that there are messages to catch up with (${default})."`
	Spread time.Duration `default:"5s" help:"Interval over which the reconnects are spread at random (${default})."`
	AtOnce int           `default:"256" help:"Concurrent reconnects, at most (${default})." placeholder:"N"`
}

// Run measures.
func (c *benchReconnect) Run(ctx context.Context, std streams) error {
	if c.Users > connectionsPerProcess {
		return fmt.Errorf("--users: one process can be %d users at most, and this scenario runs in one", connectionsPerProcess)
	}
	if c.Rate <= 0 || c.Apart < 0 || c.Spread < 0 || c.AtOnce < 1 {
		return errors.New("--rate, --apart, --spread, --at-once: above 0, not below 0, and at least 1 at once")
	}
	if err := errors.Join(checkPairs(c.Users), c.check()); err != nil {
		return err
	}
	return c.run(ctx, std, "reconnect", &scenario.Reconnect{
		Users: c.Users, Rate: c.Rate, Offset: c.Apart, Spread: c.Spread, Concurrency: c.AtOnce,
	}, 1, map[string]string{
		"users": strconv.Itoa(c.Users), "rate": fmt.Sprint(c.Rate), "apart": c.Apart.String(), "spread": c.Spread.String(), "at_once": strconv.Itoa(c.AtOnce),
	})
}

type benchSoak struct {
	benchRun
	Users  int           `default:"200" help:"Number of users, in pairs and in groups of ten (${default})." placeholder:"N"`
	Rate   float64       `default:"200" help:"Messages per second (${default})." placeholder:"RATE"`
	Acts   float64       `default:"20" help:"Other actions per second: typing, reading, scrolling back, searching (${default})." placeholder:"RATE"`
	Losses float64       `default:"1" help:"Connections that are broken off per second; the users reconnect at once (${default})." placeholder:"RATE"`
	Length time.Duration `default:"1h" help:"Duration (${default})."`
	Window time.Duration `default:"1m" help:"Duration of each measured step (${default})."`
}

// Run measures.
func (c *benchSoak) Run(ctx context.Context, std streams) error {
	if c.Users > connectionsPerProcess {
		return fmt.Errorf("--users: one process can be %d users at most, and this scenario runs in one", connectionsPerProcess)
	}
	if c.Rate <= 0 || c.Acts < 0 || c.Losses < 0 || c.Window < time.Second || c.Length < c.Window {
		return errors.New("--rate, --acts, --losses, --window, --length: a rate above 0, and at least one window of 1s")
	}
	if err := errors.Join(checkPairs(c.Users), c.check()); err != nil {
		return err
	}
	return c.run(ctx, std, "soak", &scenario.Soak{
		Users: c.Users, Rate: c.Rate, ActionRate: c.Acts, DisconnectRate: c.Losses, Duration: c.Length, Window: c.Window,
		MaxActions: 64, ActionTimeout: 30 * time.Second,
	}, 1, map[string]string{
		"users": strconv.Itoa(c.Users), "rate": fmt.Sprint(c.Rate), "acts": fmt.Sprint(c.Acts), "losses": fmt.Sprint(c.Losses),
		"length": c.Length.String(), "window": c.Window.String(),
	})
}

// list formats numbers as a setting.
func list(of []int) string { return strings.Trim(strings.ReplaceAll(fmt.Sprint(of), " ", ","), "[]") }

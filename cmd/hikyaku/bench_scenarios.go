package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/distributed"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
)

// oneProcess is for scenarios that run in one.
var oneProcess = distributed.Options{}.WithDefaults()

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

// Run measures.
func (c *benchLatency) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, "latency", c.scenario(), c.processes(), c.parameters())
}

func (c *benchLatency) processes() distributed.Options {
	o := distributed.Options{Processes: c.Processes}
	if len(c.Users) > 0 {
		o.Pairs = slices.Min(c.Users) / 2
	}
	return o
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

// Run measures.
func (c *benchBurst) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, "burst", c.scenario(), c.processes(), c.parameters())
}

func (c *benchBurst) processes() distributed.Options {
	return distributed.Options{Processes: c.Processes, Pairs: c.Users / 2}
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

// Run measures.
func (c *benchConnections) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, "connections", c.scenario(), c.processes(), c.parameters())
}

func (c *benchConnections) processes() distributed.Options {
	return distributed.Options{Processes: cmp.Or(c.Processes, processesFor(c.Count)), Pairs: c.Sample / 2}
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
	return c.run(ctx, std, "fanout", &scenario.Fanout{
		Sizes: c.Sizes, Deliveries: c.Deliveries, Senders: c.Speakers, Duration: c.Length, WarmUp: c.WarmUp,
	}, oneProcess, map[string]string{
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
	return c.run(ctx, std, "reconnect", &scenario.Reconnect{
		Users: c.Users, Rate: c.Rate, Offset: c.Apart, Spread: c.Spread, Concurrency: c.AtOnce,
	}, oneProcess, map[string]string{
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
	soak := scenario.Soak{}.WithDefaults()
	soak.Users, soak.Rate, soak.ActionRate, soak.DisconnectRate = c.Users, c.Rate, c.Acts, c.Losses
	soak.Duration, soak.Window = c.Length, c.Window
	return c.run(ctx, std, "soak", &soak, oneProcess, map[string]string{
		"users": strconv.Itoa(c.Users), "rate": fmt.Sprint(c.Rate), "acts": fmt.Sprint(c.Acts), "losses": fmt.Sprint(c.Losses),
		"length": c.Length.String(), "window": c.Window.String(),
	})
}

// list formats values without spaces as a setting.
func list[T any](of []T) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(of), " ", ","), "[]")
}

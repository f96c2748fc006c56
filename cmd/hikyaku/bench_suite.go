package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// benchSuite is what the original's author measured, against a system of its
// own.
type benchSuite struct {
	On          string        `default:"cluster" enum:"cluster,embedded" help:"What to start: cluster or embedded (${default})." placeholder:"SYSTEM"`
	Out         string        `required:"" help:"Folder for latency.json, burst.json, connections.json and report.html." placeholder:"DIR"`
	Users       int           `default:"200" help:"People who talk, in pairs (${default})." placeholder:"N"`
	From        float64       `default:"1200" help:"First rate of latency, in messages per second (${default})." placeholder:"RATE"`
	Step        time.Duration `default:"10s" help:"Measured time of each rate (${default})."`
	BurstLength time.Duration `default:"30s" help:"How long the burst is; its rate is twice what latency found (${default})."`
	Connections int           `default:"10000" help:"Connections (${default})." placeholder:"N"`
	Hold        time.Duration `default:"30s" help:"How long they are kept (${default})."`
	FailIf      []string      `help:"Fail the suite under this condition, judged by the report of latency; may be given several times." placeholder:"CONDITION" sep:"none"`
}

// measuredSystem is a system that was started to be measured.
type measuredSystem struct {
	url   string
	token string // of its administrator
	pids  []int  // whose memory is told
	stop  func(context.Context) error
}

func (c *benchSuite) check() error {
	run := benchRun{Body: 120}
	latency := c.latency(run)
	burst := c.burst(run, 1)
	connections := c.connections(run)
	return errors.Join(latency.check(), burst.check(), connections.check())
}

// Run starts the system, measures, and stops it.
func (c *benchSuite) Run(ctx context.Context, std streams) (err error) {
	conditions, err := parseConditions(c.FailIf)
	if err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	folder, err := stack.NewFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	_, _ = fmt.Fprintf(std.err, "Starting the system (%s) …\n", c.On)
	system, err := c.start(ctx, folder)
	if err != nil {
		return err
	}
	reports, err := c.measure(ctx, std, system)
	if err != nil {
		return err
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := system.stop(stopCtx); err != nil {
		return err
	}
	for i, r := range reports {
		if i > 0 {
			conditions = nil
		}
		if err := judge(r, conditions); err != nil {
			return fmt.Errorf("%s: %w", r.Scenario, err)
		}
	}
	return nil
}

// start starts a system with limits that are no limits, and makes its
// administrator.
func (c *benchSuite) start(ctx context.Context, folder *stack.Folder) (*measuredSystem, error) {
	s, err := c.startServers(ctx, folder)
	if err != nil {
		return nil, err
	}
	admin, err := client.New(s.url)
	if err != nil {
		return nil, err
	}
	if err := admin.Register(ctx, "administrator", rand.Text()); err != nil {
		return nil, fmt.Errorf("make the system's first account: %w", err)
	}
	s.token = admin.Token()
	return s, nil
}

func (c *benchSuite) startServers(ctx context.Context, folder *stack.Folder) (*measuredSystem, error) {
	options := stack.Options{Settings: []string{"HIKYAKU_RATE=100000", "HIKYAKU_BURST=100000"}}
	if c.On == "embedded" {
		alone, err := stack.StartAlone(ctx, folder, options)
		if err != nil {
			return nil, err
		}
		return &measuredSystem{url: alone.URL(), pids: []int{alone.PID()}, stop: alone.Stop}, nil
	}
	cluster, err := stack.StartCluster(ctx, folder, options)
	if err != nil {
		return nil, err
	}
	s := &measuredSystem{url: cluster.URL(), stop: cluster.Stop}
	for _, gateway := range cluster.Members("gateway") {
		s.pids = append(s.pids, gateway.PID())
	}
	return s, nil
}

func (c *benchSuite) latency(run benchRun) benchLatency {
	return benchLatency{
		benchRun: run, Users: c.Users, From: c.From, To: 200_000, Factor: 1.5, Halvings: 2, Step: c.Step, WarmUp: 2 * time.Second,
		MaxP95: 170 * time.Millisecond, Processes: 1,
	}
}

func (c *benchSuite) burst(run benchRun, load float64) benchBurst {
	return benchBurst{benchRun: run, Users: c.Users, Load: load, Length: c.BurstLength, Wait: 5 * time.Minute, Processes: 1}
}

func (c *benchSuite) connections(run benchRun) benchConnections {
	return benchConnections{
		benchRun: run, Count: c.Connections, AtOnce: 128, Hold: c.Hold, Sample: min(200, c.Connections), Rate: 200,
	}
}

// measure runs the three scenarios one after the other, and writes each report
// as soon as it is there.
func (c *benchSuite) measure(ctx context.Context, std streams, system *measuredSystem) ([]*report.Report, error) {
	run := benchRun{targetFlags: targetFlags{System: "hikyaku", URL: system.url, administratorFlags: administratorFlags{AdminToken: system.token}}, Body: 120, ServerPid: system.pids}
	var reports []*report.Report
	one := func(name string, s measured, processes int, parameters map[string]string) error {
		_, _ = fmt.Fprintf(std.err, "\n%s\n", name)
		parameters["system"] = c.On
		r, err := run.measure(ctx, std, name, s, processes, parameters)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		reports = append(reports, r)
		return errors.Join(r.WriteSummary(std.out), writeReport(filepath.Join(c.Out, name+".json"), r))
	}
	latency := c.latency(run)
	if err := one("latency", latency.scenario(), 1, latency.parameters()); err != nil {
		return nil, err
	}
	sustained := reports[0].Rate
	if sustained == 0 {
		sustained = c.From
	}
	burst := c.burst(run, 2*sustained)
	if err := one("burst", burst.scenario(), 1, burst.parameters()); err != nil {
		return nil, err
	}
	connections := c.connections(run)
	if err := connections.check(); err != nil { // it sets the number of processes
		return nil, err
	}
	return reports, one("connections", connections.scenario(), connections.Processes, connections.parameters())
}

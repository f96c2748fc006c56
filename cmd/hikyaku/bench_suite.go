package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/probe"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/threshold"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// benchSuite measures what the author of the original design measured, with a
// system that it starts.
type benchSuite struct {
	On          string        `default:"cluster" enum:"cluster,embedded,ejabberd,reference" help:"What to start: Hikyaku as a cluster or with the embedded backends, or another system: ejabberd or reference (${default})." placeholder:"SYSTEM"`
	Out         string        `required:"" help:"Folder for latency.json, burst.json, connections.json or sockets.json, report.html and its plots as PNG files." placeholder:"DIR"`
	Scenarios   []string      `default:"latency,burst,connections" enum:"latency,burst,connections,sockets" help:"Scenarios to run: latency, burst, connections, or sockets alone, as many connections as fit, at as many gateways as that takes (${default})." placeholder:"SCENARIO"`
	Users       int           `default:"200" help:"Number of users who send, in pairs (${default})." placeholder:"N"`
	From        float64       `default:"1200" help:"First rate of latency, in messages per second (${default})." placeholder:"RATE"`
	To          float64       `default:"200000" help:"Last rate (${default})." placeholder:"RATE"`
	Step        time.Duration `default:"10s" help:"Measured time of each rate (${default})."`
	BurstLength time.Duration `default:"30s" help:"Duration of the burst (${default})."`
	BurstLoad   float64       `help:"Its rate, in messages per second; by default twice what latency found." placeholder:"RATE"`
	Connections int           `default:"10000" help:"Number of connections (${default})." placeholder:"N"`
	Sockets     int           `default:"1000000" help:"Number of connections of sockets; fewer where memory or open files do not allow that many (${default})." placeholder:"N"`
	SocketsEach int           `default:"0" help:"Connections of sockets for each gateway, and for each process of the load tool; 0 for as many as the limit of open files allows (${default})." placeholder:"N"`
	PerSecond   float64       `default:"1000" help:"Connections of sockets that are opened each second; 0 for as fast as possible, which leaves no processor for the heartbeats of those that are open (${default})." placeholder:"N"`
	Heartbeat   time.Duration `default:"1m" help:"Interval of the heartbeats of quiet connections of sockets: --max-heartbeat of the gateways (${default})."`
	Hold        time.Duration `default:"30s" help:"How long they are kept open (${default})."`
	Rest        time.Duration `default:"10s" help:"Pause between two scenarios (${default})."`
	Set         []string      `help:"A setting for every process of Hikyaku, such as HIKYAKU_LINGER=0." placeholder:"VARIABLE=VALUE" sep:"none"`
	BusyLoops   int           `default:"0" help:"Number of programs that take all the processor time that they can get meanwhile, as somebody else's work does (${default})." placeholder:"N"`
	FailIf      []string      `help:"Fail the suite under this condition, judged by the report of latency; may be given several times." placeholder:"CONDITION" sep:"none"`
}

// measuredSystem is a system that was started to be measured.
type measuredSystem struct {
	targetFlags
	name    string // of the sampled processes
	sampled []probe.Process
	costs   probe.Server // all of its processes
	stop    func(context.Context) error
	sockets socketPlan
}

const socketsScenario = "sockets"

// onlySockets reports whether that scenario runs.
func (c *benchSuite) onlySockets() bool { return slices.Contains(c.Scenarios, socketsScenario) }

// check validates the flags, before anything is started.
func (c *benchSuite) check() error {
	other := c.On != "cluster" && c.On != "embedded"
	if other && len(c.Set) > 0 {
		return fmt.Errorf("--set: %s is not Hikyaku, whose settings these are; leave it out", c.On)
	}
	if err := cmp.Or(
		flagged(setting.Between("busy-loops", c.BusyLoops, 0, 1000, "a number of programs, such as 2")),
		flagged(c.stackOptions().WithDefaults().Validate()),
	); err != nil {
		return err
	}
	run := benchRun{Body: load.Options{}.WithDefaults().BodySize}
	latency, burst, connections := c.latency(run), c.burst(run, c.burstLoad(nil)), c.connections(run)
	if c.onlySockets() {
		if c.On != "cluster" || len(c.Scenarios) > 1 {
			return errors.New("--scenarios: sockets starts a cluster with many gateways for itself; give it alone, and --on cluster")
		}
		sockets := c.sockets(run, socketPlan{sockets: c.Sockets, processes: 1})
		return cmp.Or(
			flagged(setting.Between("heartbeat", c.Heartbeat, 3*time.Second, time.Minute, "the time between heartbeats of a quiet client, such as 30s")),
			flagged(setting.Between("sockets-each", c.SocketsEach, 0, 1_000_000, "connections for each process, such as 10000, or 0 for as many as it may open files")),
			renamed(run.check(sockets.scenario(), sockets.processes()), "count", "sockets"),
		)
	}
	return cmp.Or(
		run.check(latency.scenario(), latency.processes()),
		renamed(run.check(burst.scenario(), burst.processes()), "load", "burst-load", "length", "burst-length"),
		renamed(run.check(connections.scenario(), connections.processes()), "count", "connections"),
	)
}

// renamed returns the error of a flag by the name that the flag has here. names
// has pairs of names, the other one and that.
func renamed(err error, names ...string) error {
	if err == nil {
		return nil
	}
	for pair := range slices.Chunk(names, 2) {
		if text, ok := strings.CutPrefix(err.Error(), "--"+pair[0]+": "); ok {
			return fmt.Errorf("--%s: %s", pair[1], text)
		}
	}
	return err
}

// Run starts the system, measures, and stops it.
func (c *benchSuite) Run(ctx context.Context, std streams) (err error) {
	conditions, err := parseConditions(c.FailIf)
	if err != nil {
		return err
	}
	if len(conditions) > 0 && !slices.Contains(c.Scenarios, "latency") {
		return errors.New("--fail-if: the conditions are about latency, which is not among --scenarios")
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	// The servers share the machine: with more threads for itself the tool takes their
	// time, with those that look for work. One sends more than a machine stores.
	runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	folder, err := stack.NewFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	speed := measureSpeed(ctx, folder.Path())
	_, _ = fmt.Fprintf(std.err, "Starting the system (%s) …\n", c.On)
	system, err := c.start(ctx, std, folder)
	if err != nil {
		return err
	}
	system.costs.Processes = allProcesses(folder)
	busy, err := folder.StartBusyLoops(c.BusyLoops)
	if err != nil {
		return err
	}
	for _, p := range busy {
		system.costs.Processes = append(system.costs.Processes, probe.Process{PID: p.PID(), Unmeasured: true})
	}
	reports, err := c.measure(ctx, std, system, speed)
	if err != nil {
		return err
	}
	whole := reportOutput{Report: filepath.Join(c.Out, "report.html"), PNG: c.Out}
	if err := whole.save(reports); err != nil {
		return err
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := system.stop(stopCtx); err != nil {
		return err
	}
	var failed []error
	for _, r := range reports {
		var its []threshold.Condition
		if r.Scenario == "latency" {
			its = conditions
		}
		if err := checkConditions(r, its); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", r.Scenario, err))
		}
	}
	return errors.Join(failed...)
}

// allProcesses returns the processes of a folder that run, named by their kinds.
func allProcesses(folder *stack.Folder) (all []probe.Process) {
	for _, p := range folder.Processes() {
		if p.Running() {
			all = append(all, probe.Process{PID: p.PID(), Name: strings.TrimRight(strings.TrimRight(p.Name(), "0123456789"), "-")})
		}
	}
	return all
}

// memberMetrics returns the metrics of Hikyaku's processes of a cluster.
func memberMetrics(cluster *stack.Cluster) (all []probe.Metrics) {
	for _, m := range cluster.Members("") {
		all = append(all, probe.Metrics(m.MetricsURL()))
	}
	return all
}

// stackOptions returns what is chosen of a system of Hikyaku: limits that are never
// reached, and what the flags say.
func (c *benchSuite) stackOptions() stack.Options {
	return stack.Options{Settings: append([]string{"HIKYAKU_RATE=100000", "HIKYAKU_BURST=100000", "HIKYAKU_REGISTRATIONS=100000"}, c.Set...)}
}

// start starts a system with limits that are never reached. For Hikyaku it
// creates an administrator, so that users can be created in bulk.
func (c *benchSuite) start(ctx context.Context, std streams, folder *stack.Folder) (*measuredSystem, error) {
	options := c.stackOptions()
	s := &measuredSystem{targetFlags: targetFlags{System: "hikyaku"}}
	if c.onlySockets() {
		s.sockets = planSockets(c.Sockets, c.SocketsEach, readSocketLimits())
		options.Gateways = s.sockets.processes
		options.Settings = append(options.Settings, "HIKYAKU_MAX_HEARTBEAT="+c.Heartbeat.String())
		if note := s.sockets.note(c.Sockets); note != "" {
			_, _ = fmt.Fprintln(std.err, note)
		}
		_, _ = fmt.Fprintf(std.err, "gateways: %d; processes of the load tool: %d\n", options.Gateways, s.sockets.processes)
	}
	switch c.On {
	case "cluster":
		cluster, err := stack.StartCluster(ctx, folder, options)
		if err != nil {
			return nil, err
		}
		s.URL, s.SetupToken, s.stop, s.name = cluster.URL(), cluster.SetupToken(), cluster.Stop, "the gateways alone"
		for _, gateway := range cluster.Members("gateway") {
			s.sampled = append(s.sampled, probe.Process{PID: gateway.PID()})
			if c.onlySockets() { // nginx would have the files of one process
				s.Gateway = append(s.Gateway, "http://"+gateway.Addr())
			}
		}
		s.costs.Metrics = memberMetrics(cluster)
	case "embedded":
		alone, err := stack.StartStandalone(ctx, folder, options)
		if err != nil {
			return nil, err
		}
		s.URL, s.SetupToken, s.stop, s.name, s.sampled = alone.URL(), alone.SetupToken(), alone.Stop, "the whole process", []probe.Process{{PID: alone.PID()}}
		s.costs.Metrics = []probe.Metrics{probe.Metrics(alone.MetricsURL())}
	default:
		settings, processes, err := (&stackCommand{System: c.On, Gateways: 2}).startOther(ctx, folder)
		if err != nil {
			return nil, err
		}
		s.System, s.URL, s.ReferenceDatabase = settings["system"], settings["url"], settings["reference-database"]
		s.name = "its processes that hold connections"
		for pid := range processes {
			s.sampled = append(s.sampled, probe.Process{PID: pid})
		}
		s.stop = func(context.Context) error { return nil } // with the folder
		return s, nil
	}
	admin, err := client.New(s.URL)
	if err != nil {
		return nil, err
	}
	if err := admin.Register(ctx, "administrator", rand.Text(), s.SetupToken); err != nil {
		return nil, fmt.Errorf("make the system's first account: %w", err)
	}
	s.AdminToken = admin.Token()
	return s, nil
}

func (c *benchSuite) latency(run benchRun) benchLatency {
	return benchLatency{
		benchRun: run, Users: []int{c.Users}, From: c.From, To: c.To, Factor: 1.5, Halvings: 2, Step: c.Step, WarmUp: 2 * time.Second,
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

func (c *benchSuite) sockets(run benchRun, plan socketPlan) benchConnections {
	return benchConnections{
		benchRun: run, Count: plan.sockets, Processes: plan.processes, PerSecond: c.PerSecond, AtOnce: 128, Hold: c.Hold,
		Sample: min(max(200, 2*plan.processes), plan.sockets), Rate: 200,
	}
}

// measure runs the scenarios one after the other, and writes each report as
// soon as it is complete. Connections are first: their memory can only be
// measured in processes that have not been busy before.
func (c *benchSuite) measure(ctx context.Context, std streams, system *measuredSystem, speed *speedResult) (reports []*report.Report, err error) {
	run := benchRun{targetFlags: system.targetFlags, Body: 120, ServerPid: system.sampled, Costs: &system.costs, Speed: speed}
	one := func(name, scenario string, s runner, processes int, parameters map[string]string) error {
		if !slices.Contains(c.Scenarios, name) {
			return nil
		}
		if len(reports) > 0 { // thousands have just left
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(c.Rest):
			}
		}
		_, _ = fmt.Fprintf(std.err, "\n%s\n", name)
		parameters["started"], parameters["server"] = c.On, system.name
		if len(c.Set) > 0 {
			parameters["set"] = strings.Join(c.Set, " ")
		}
		if c.BusyLoops > 0 {
			parameters["busy-loops"] = strconv.Itoa(c.BusyLoops)
		}
		r, err := run.measure(ctx, std, scenario, s, processes, parameters)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if note := system.sockets.note(c.Sockets); note != "" {
			r.Notes = append(r.Notes, note)
		}
		reports = append(reports, r)
		return errors.Join(r.WriteSummary(std.out), writeReport(filepath.Join(c.Out, name+".json"), r))
	}
	sockets := c.sockets(run, system.sockets)
	parameters := sockets.parameters()
	parameters["gateways"], parameters["heartbeat"] = strconv.Itoa(system.sockets.processes), c.Heartbeat.String()
	if err := one(socketsScenario, "connections", sockets.scenario(), sockets.processes().Processes, parameters); err != nil {
		return nil, err
	}
	connections := c.connections(run)
	if err := one("connections", "connections", connections.scenario(), connections.processes().Processes, connections.parameters()); err != nil {
		return nil, err
	}
	latency := c.latency(run)
	if err := one("latency", "latency", latency.scenario(), 1, latency.parameters()); err != nil {
		return nil, err
	}
	burst := c.burst(run, c.burstLoad(reports))
	if err := one("burst", "burst", burst.scenario(), 1, burst.parameters()); err != nil {
		return nil, err
	}
	return slices.SortedFunc(slices.Values(reports), func(a, b *report.Report) int {
		return cmp.Compare(slices.Index(c.Scenarios, a.Scenario), slices.Index(c.Scenarios, b.Scenario))
	}), nil
}

// burstLoad returns a rate far above what is sustainable, as far as that is
// known.
func (c *benchSuite) burstLoad(reports []*report.Report) float64 {
	if c.BurstLoad > 0 {
		return c.BurstLoad
	}
	for _, r := range reports {
		if r.Scenario == "latency" && r.Rate > 0 {
			return 2 * r.Rate
		}
	}
	return 20_000
}

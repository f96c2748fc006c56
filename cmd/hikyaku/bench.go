package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/bench/distributed"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/machine"
	"github.com/hikyaku-chat/hikyaku/internal/bench/probe"
	"github.com/hikyaku-chat/hikyaku/internal/bench/progress"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/threshold"
)

// benchCommands measure an installation and check every message.
type benchCommands struct {
	Latency     benchLatency     `cmd:"" help:"Find the highest sustained rate: raise the rate until the p95 exceeds a limit, or anything is lost or refused."`
	Burst       benchBurst       `cmd:"" help:"Send far more than is sustainable for a while, and wait until the queue is drained."`
	Connections benchConnections `cmd:"" help:"Open many connections, keep them open, and send messages over a sample of them."`
	Fanout      benchFanout      `cmd:"" help:"Send in large rooms whose members are all connected: measure how long it takes until the last member has a message."`
	Reconnect   benchReconnect   `cmd:"" help:"Disconnect all users at once and have them reconnect: measure how long it takes until nobody misses anything."`
	Soak        benchSoak        `cmd:"" help:"Use the system for hours: send, type, read, scroll back, search, reconnect; find what gets worse."`
	Suite       benchSuite       `cmd:"" help:"Start a system on this machine, run latency, burst and connections against it, and write the reports."`
	Compare     benchCompare     `cmd:"" help:"Compare reports."`
	Clean       benchClean       `cmd:"" help:"Remove the accounts and conversations that runs have created."`
	Hand        benchAgent       `cmd:"" hidden:"" help:"Run as an agent: one of several processes of a run."`
	Echo        benchEcho        `cmd:"" hidden:"" help:"Send back each byte, to measure context switches."`
}

// benchRun has the flags of all scenarios.
type benchRun struct {
	targetFlags
	Body          int             `default:"120" help:"Size of each message text, in bytes (${default})." placeholder:"N"`
	ServerPid     []probe.Process `help:"Process id of the server on this machine, to sample its memory and CPU time, and what a message costs it; with a name for its kind, such as gateway=1234, if its command line does not tell; may be given several times." placeholder:"PID"`
	ServerMetrics []probe.Metrics `help:"Prometheus metrics of a server process, to sample the same and the sizes of its batches: http://host:port/metrics; may be given several times." placeholder:"URL"`
	ServerData    string          `help:"Folder on the disk that the server on this machine writes to, to measure how long that takes; by default the temporary folder." placeholder:"DIR"`
	FailIf        []string        `help:"Fail the run under this condition, such as p95>170ms or lost>0; may be given several times." placeholder:"CONDITION" sep:"none"`
	JSON          string          `name:"json" help:"Write the whole report to this file, - for the standard output." placeholder:"FILE"`
	reportOutput

	// Costs has the processes whose cost is measured; nil for those of the flags.
	Costs *probe.Server `kong:"-"`
	// Speed is the machine's, if it was measured before.
	Speed *speedResult `kong:"-"`
}

// check validates the flags of all scenarios, those of one, and how many
// processes run it.
func (c *benchRun) check(s runner, processes distributed.Options) error {
	for _, p := range c.ServerPid {
		if err := p.Validate(); err != nil {
			return flagged(err)
		}
	}
	return flagged(cmp.Or(s.Validate(), processes.Validate(), load.Options{BodySize: c.Body}.Validate()))
}

// errThreshold is returned when a run was measured and did not pass. The exit
// code is exitThreshold.
type errThreshold struct{ reason []string }

func (e *errThreshold) Error() string { return "the run fails: " + strings.Join(e.reason, "; ") }

func parseConditions(texts []string) ([]threshold.Condition, error) {
	conditions := make([]threshold.Condition, len(texts))
	for i, text := range texts {
		var err error
		if conditions[i], err = threshold.Parse(text); err != nil {
			return nil, fmt.Errorf("--fail-if: %w", err)
		}
	}
	return conditions, nil
}

// checkConditions returns why a run fails. A violation of the delivery
// guarantees always fails it, and so does a search without a result.
func checkConditions(r *report.Report, conditions []threshold.Condition) error {
	var why []string
	if !r.Passed() {
		why = append(why, "messages were lost, doubled, out of order or foreign")
	}
	if r.Failed > 0 {
		why = append(why, fmt.Sprintf("%d messages were accepted and then given up", r.Failed))
	}
	if r.Scenario == "latency" && r.Rate == 0 {
		why = append(why, "no rate was sustained")
	}
	for _, c := range conditions {
		if fails, reason := c.Fails(r); fails {
			why = append(why, reason)
		}
	}
	if len(why) == 0 {
		return nil
	}
	return &errThreshold{why}
}

// runner is a scenario.
type runner interface {
	Validate() error
	Run(ctx context.Context, r *scenario.Run) error
}

// run checks all flags, runs a scenario in a number of processes, and writes the
// result.
func (c *benchRun) run(ctx context.Context, std streams, name string, s runner, processes distributed.Options, parameters map[string]string) error {
	if err := c.check(s, processes); err != nil {
		return err
	}
	conditions, err := parseConditions(c.FailIf)
	if err != nil {
		return err
	}
	r, err := c.measure(ctx, std, name, s, processes.Processes, parameters)
	if err != nil {
		if r != nil && len(r.Series) > 0 { // what was measured until then is worth having
			r.Notes = append(r.Notes, fmt.Sprintf("the run ended before its time, and its messages were not checked: %v", err))
			return errors.Join(err, c.write(std, r))
		}
		return err
	}
	if err := c.write(std, r); err != nil {
		return err
	}
	return checkConditions(r, conditions)
}

func (c *benchRun) measure(ctx context.Context, std streams, name string, s runner, processes int, parameters map[string]string) (*report.Report, error) {
	t, err := c.open(0)
	if err != nil {
		return nil, err
	}
	r := report.New(name, t.Name(), version())
	r.Parameters = parameters
	r.Parameters["url"], r.Parameters["body"], r.Parameters["processes"] = c.URL, strconv.Itoa(c.Body), strconv.Itoa(processes)
	view := progress.New(std.err, fmt.Sprintf("%s of %s at %s", name, t.Name(), c.URL))
	defer view.Close()
	run := &scenario.Run{Name: strings.ToLower(rand.Text()[:8]), BodySize: c.Body, Target: t, Report: r, Observer: view}
	server := probe.Server{Processes: c.ServerPid, Metrics: c.ServerMetrics}
	if len(c.ServerPid)+len(c.ServerMetrics) > 0 {
		run.Probe = &probe.Sampler{Server: server}
	}
	run.CostMeter = cmp.Or(c.Costs, &server)
	if runtime.GOOS == "linux" {
		run.ToolProbe, run.MachineProbe = probe.Tool{Server: *cmp.Or(c.Costs, &server)}, probe.Machine{}
	}
	if c.Speed == nil {
		view.Phase("measure the machine", 0)
		c.Speed = measureSpeed(ctx, cmp.Or(c.ServerData, os.TempDir()))
	}
	c.Speed.addTo(r)
	if processes > 1 {
		run.Prepare = prepareDistributed(&c.targetFlags, processes)
	}
	return r, s.Run(ctx, run)
}

// speedResult is how fast the machine is, and what could not be measured of that.
type speedResult struct {
	speed machine.Speed
	err   error
}

// measureSpeed measures the machine while nothing else of a run is going on.
func measureSpeed(ctx context.Context, folder string) *speedResult {
	s, err := machine.Measure(ctx, machine.Options{Echo: machine.Command("bench", "echo"), Folder: folder})
	return &speedResult{s, err}
}

func (s *speedResult) addTo(r *report.Report) {
	r.Machine.Speed = &s.speed
	if s.err != nil {
		r.Notes = append(r.Notes, s.err.Error())
	}
}

// benchEcho is the other process where context switches are measured.
type benchEcho struct{}

// Run sends back what comes, until that ends.
func (benchEcho) Run() error { return machine.Echo() }

func (c *benchRun) write(std streams, r *report.Report) error {
	if c.JSON == "-" {
		return errors.Join(r.WriteJSON(std.out), c.save([]*report.Report{r}))
	}
	if err := r.WriteSummary(std.out); err != nil {
		return err
	}
	var err error
	if c.JSON != "" {
		err = writeReport(c.JSON, r)
	}
	return errors.Join(err, c.save([]*report.Report{r}))
}

func writeReport(path string, r *report.Report) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return errors.Join(r.WriteJSON(f), f.Close())
}

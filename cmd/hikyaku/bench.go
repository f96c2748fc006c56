package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	installation "github.com/hikyaku-chat/hikyaku/internal/bench/target/hikyaku"
	"github.com/hikyaku-chat/hikyaku/internal/bench/threshold"
)

// benchCommands measure an installation and check every message.
type benchCommands struct {
	Burst   benchBurst   `cmd:"" help:"Send far more than is sustainable for a while, and watch until it is drained."`
	Latency benchLatency `cmd:"" help:"Find the highest rate that is sustained: rising rates, until the p95 passes a limit or anything is lost or refused."`
}

// benchRun is what all scenarios are told.
type benchRun struct {
	URL    string   `default:"http://127.0.0.1:8080" help:"Address of the installation (${default}). Accounts must be open to all." placeholder:"URL"`
	Users  int      `default:"200" help:"People, in pairs (${default})." placeholder:"N"`
	Body   int      `default:"120" help:"Bytes of each text (${default})." placeholder:"N"`
	FailIf []string `help:"Fail the run under this condition, such as p95>170ms or lost>0; may be given several times." placeholder:"CONDITION" sep:"none"`
	JSON   string   `name:"json" help:"Write the whole report to this file, - for the standard output." placeholder:"FILE"`
}

type benchLatency struct {
	benchRun
	From     float64       `default:"500" help:"First rate, in messages per second (${default})." placeholder:"RATE"`
	To       float64       `default:"100000" help:"Last rate (${default})." placeholder:"RATE"`
	Factor   float64       `default:"1.5" help:"From one rate to the next (${default})."`
	Halvings int           `default:"2" help:"Closer looks between the last good and the first bad rate (${default})." placeholder:"N"`
	Step     time.Duration `default:"10s" help:"Measured time of each rate (${default})."`
	WarmUp   time.Duration `default:"2s" help:"Time before it that is not measured (${default})."`
	MaxP95   time.Duration `name:"max-p95" default:"170ms" help:"The limit (${default})."`
}

type benchBurst struct {
	benchRun
	Load   float64       `default:"20000" help:"Messages per second, far above what is sustainable (${default})." placeholder:"RATE"`
	Length time.Duration `default:"30s" help:"How long (${default})."`
	Wait   time.Duration `default:"5m" help:"How long to wait afterwards until everything has arrived (${default})."`
}

func (c *benchRun) check() error {
	switch {
	case c.Users < 2 || c.Users%2 != 0 || c.Users > 100_000:
		return fmt.Errorf("--users: %d people cannot be paired; give an even number from 2 to 100000", c.Users)
	case c.Body < 32 || c.Body > 4000:
		return fmt.Errorf("--body: %d is not between 32 and 4000 bytes", c.Body)
	}
	return nil
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
	return c.benchRun.check()
}

func (c *benchBurst) check() error {
	if c.Load <= 0 || c.Length < time.Second || c.Wait < 0 {
		return errors.New("--load, --length, --wait: a burst has a rate above 0 and lasts 1s at least")
	}
	return c.benchRun.check()
}

// errJudged is that a run was measured, and did not pass: the reason of the
// exit code exitJudged.
type errJudged struct{ why []string }

func (e *errJudged) Error() string { return "the run fails: " + strings.Join(e.why, "; ") }

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

// judge says why a run fails: a broken promise does it in any case.
func judge(r *report.Report, conditions []threshold.Condition) error {
	var why []string
	if !r.Kept() {
		why = append(why, "messages were lost, doubled, out of order or foreign")
	}
	for _, c := range conditions {
		if fails, reason := c.Fails(r); fails {
			why = append(why, reason)
		}
	}
	if len(why) == 0 {
		return nil
	}
	return &errJudged{why}
}

// Run measures.
func (c *benchLatency) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	s := &scenario.Latency{
		People: c.Users, From: c.From, To: c.To, Factor: c.Factor, Halvings: c.Halvings,
		Step: c.Step, WarmUp: c.WarmUp, MaxP95: c.MaxP95, Body: c.Body,
		OnStep: func(rate float64) { _, _ = fmt.Fprintf(std.err, "%.0f messages/s\n", rate) },
		OnTick: plainly(std.err),
	}
	return c.run(ctx, std, "latency", s, map[string]string{
		"from": fmt.Sprint(c.From), "to": fmt.Sprint(c.To), "factor": fmt.Sprint(c.Factor), "halvings": strconv.Itoa(c.Halvings),
		"step": c.Step.String(), "warm_up": c.WarmUp.String(), "max_p95": c.MaxP95.String(),
	})
}

// Run measures.
func (c *benchBurst) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	s := &scenario.Burst{People: c.Users, Rate: c.Load, Length: c.Length, Drain: c.Wait, Body: c.Body, OnTick: plainly(std.err)}
	return c.run(ctx, std, "burst", s, map[string]string{"load": fmt.Sprint(c.Load), "length": c.Length.String(), "wait": c.Wait.String()})
}

// plainly tells what happens each second in lines.
func plainly(w io.Writer) func(load.Second) {
	return func(s load.Second) {
		_, _ = fmt.Fprintf(w, "  %4.0f s  sent %6d  arrived %6d  queue %6d  p50 %6.1f ms  p95 %6.1f ms  refused %d\n", s.At, s.Sent, s.Delivered, s.Queue, s.P50, s.P95, s.Refused)
	}
}

// measured is a scenario.
type measured interface {
	Run(ctx context.Context, t target.Target, run string, r *report.Report) error
}

// run runs a scenario against the installation and says what came of it.
func (c *benchRun) run(ctx context.Context, std streams, name string, s measured, parameters map[string]string) error {
	conditions, err := parseConditions(c.FailIf)
	if err != nil {
		return err
	}
	t, err := installation.New(c.URL, installation.Options{})
	if err != nil {
		return err
	}
	r := report.New(name, t.Name(), version())
	r.Parameters = parameters
	r.Parameters["url"], r.Parameters["users"], r.Parameters["body"] = c.URL, strconv.Itoa(c.Users), strconv.Itoa(c.Body)
	_, _ = fmt.Fprintf(std.err, "Making %d accounts and connecting them …\n", c.Users)
	if err := s.Run(ctx, t, strings.ToLower(rand.Text()[:8]), r); err != nil {
		return err
	}
	if err := c.write(std.out, r); err != nil {
		return err
	}
	return judge(r, conditions)
}

func (c *benchRun) write(out io.Writer, r *report.Report) error {
	if c.JSON == "-" {
		return r.WriteJSON(out)
	}
	if err := r.WriteSummary(out); err != nil || c.JSON == "" {
		return err
	}
	f, err := os.Create(c.JSON)
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return errors.Join(r.WriteJSON(f), f.Close())
}

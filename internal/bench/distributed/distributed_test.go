package distributed_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/distributed"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/faulty"
)

// Each agent of these tests has its own system, so that the agents' work can be
// distinguished. All run on the synthetic clock of the test.

func startAgents(t *testing.T, systems ...*faulty.System) []distributed.Agent {
	t.Helper()
	out := make([]distributed.Agent, len(systems))
	for i, s := range systems {
		here, there := net.Pipe()
		out[i] = distributed.Agent{ReadWriteCloser: here, Target: []byte(s.Name())}
		done := make(chan struct{})
		go func() {
			defer close(done)
			// What a broken pipe is called does not matter.
			_ = distributed.Serve(t.Context(), there, func(how []byte) (target.Target, error) {
				if string(how) != s.Name() {
					t.Errorf("an agent got the target %q", how)
				}
				return s, nil
			})
		}()
		t.Cleanup(func() {
			_ = here.Close()
			<-done
		})
	}
	return out
}

type runner interface {
	Run(ctx context.Context, r *scenario.Run) error
}

func runScenario(t *testing.T, what runner, systems ...*faulty.System) (*report.Report, error) {
	t.Helper()
	r := report.New("test", "faulty", "test")
	all := startAgents(t, systems...)
	err := what.Run(t.Context(), &scenario.Run{
		Name: "test", Report: r,
		Prepare: func(ctx context.Context, plan target.Plan, o load.Options) (scenario.VirtualUsers, error) {
			c, err := distributed.Prepare(ctx, all, plan, o)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
	})
	return r, err
}

// Percentiles are those of all messages together: one of two agents has 10 ms,
// the other 30, and a tenth of its messages 200.
func TestResultsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &faulty.System{Delay: func(n int) time.Duration {
			if n%10 == 0 {
				return 200 * time.Millisecond
			}
			return 30 * time.Millisecond
		}}
		r, err := runScenario(t, &scenario.Burst{Users: 40, Rate: 1000, Duration: 10 * time.Second, Drain: time.Minute},
			&faulty.System{Delay: func(int) time.Duration { return 10 * time.Millisecond }}, slow)
		if err != nil {
			t.Fatal(err)
		}
		near := func(what string, got, want float64) {
			if math.Abs(got-want) > want/100 {
				t.Errorf("%s is %v, want %v", what, got, want)
			}
		}
		near("p50", r.Latency.P50, 10)
		near("p90", r.Latency.P90, 30)
		near("p99", r.Latency.P99, 200)
		near("msgs_per_s", r.MsgsPerS, 10_000/10.2) // until the last has come
		if r.Sent != 10_000 || r.Accepted != 10_000 || r.Delivered != 20_000 || !r.Passed() || r.Rate != 1000 {
			t.Errorf("%+v", r.Verdict)
		}
		if r.Versions.Target != "1" {
			t.Errorf("the version is %q", r.Versions.Target)
		}
		if talk := r.Series[4]; math.Abs(float64(talk.Sent)-1000) > 30 || talk.Connected != 40 || talk.P99 < 190 {
			t.Errorf("%+v", talk)
		}
	})
}

func TestViolationOfOneAgentFailsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := runScenario(t, &scenario.Burst{Users: 40, Rate: 1000, Duration: time.Second, Drain: time.Second},
			&faulty.System{}, &faulty.System{}, &faulty.System{Lose: func(n int) bool { return n == 7 }})
		if err != nil || r.Lost != 1 || r.Passed() || !strings.HasPrefix(r.Violations[0], "process 3: ") {
			t.Errorf("%+v, %v", r.Verdict, err)
		}
	})
}

func TestConnectionsOfAllAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := runScenario(t, &scenario.Connections{Users: 1000, ConnectRate: 500, Concurrency: 10, Hold: 10 * time.Second, Sample: 40, Rate: 50},
			&faulty.System{}, &faulty.System{RefuseConnection: func(n int) bool { return n%51 == 3 }})
		if err != nil {
			t.Fatal(err)
		}
		if c := r.Connections; c.Attempted != 1000 || c.Succeeded != 990 || math.Abs(c.PerS-500) > 15 {
			t.Errorf("%+v", c)
		}
		if last := r.Series[len(r.Series)-1]; last.Connected != 990 || !r.Passed() {
			t.Errorf("%+v, %+v", last, r.Verdict)
		}
	})
}

// Shares of a rate are not whole messages; none is missed for it.
func TestRatesThatDoNotDivide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := runScenario(t, &scenario.Latency{
			Users: []int{18}, From: 100.3, To: 300.7, Factor: 1.5, Step: 3 * time.Second, WarmUp: time.Second, MaxP95: time.Second,
		}, &faulty.System{}, &faulty.System{}, &faulty.System{})
		if err != nil || r.Limit != "" || r.Rate != 300.7 || len(r.Steps) != 4 {
			t.Errorf("%v: limit %q, rate %v, %d steps", err, r.Limit, r.Rate, len(r.Steps))
		}
	})
}

// An agent that exits, or cannot start, ends the run with an error.
func TestAgentDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := startAgents(t, &faulty.System{}, &faulty.System{})
		c, err := distributed.Prepare(t.Context(), all, target.Plan{Run: "test", Users: 4, Rooms: [][]int{{0, 1}, {2, 3}}}, load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Connect(t.Context(), load.ConnectOptions{}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*time.Second, func() { _ = all[1].Close() })
		began := time.Now()
		if _, err := c.RunPhase(t.Context(), load.Phase{Rate: 10, Duration: time.Hour}); err == nil || time.Since(began) > time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// An agent that is told to stop does not wait for its coordinator to say
// anything.
func TestAgentIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := distributed.Serve(ctx, there, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection is not closed: %v", err)
		}
	})
}

// A run that is canceled returns when all agents are closed, however long they
// take.
func TestCanceledRunWaitsForAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agents := startAgents(t, &faulty.System{}, &faulty.System{})
		slow := &slowCloser{ReadWriteCloser: agents[1].ReadWriteCloser}
		agents[1].ReadWriteCloser = slow
		c, err := distributed.Prepare(t.Context(), agents, target.Plan{Run: "test", Users: 4, Rooms: [][]int{{0, 1}, {2, 3}}}, load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.RunPhase(ctx, load.Phase{Duration: time.Hour}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n := slow.closing.Load(); n > 0 {
			t.Errorf("%d calls of Close go on", n)
		}
	})
}

// slowCloser is gone at once, and takes a while to say so.
type slowCloser struct {
	io.ReadWriteCloser
	closing atomic.Int64
}

func (c *slowCloser) Close() error {
	c.closing.Add(1)
	defer c.closing.Add(-1)
	err := c.ReadWriteCloser.Close()
	time.Sleep(10 * time.Second)
	return err
}

func TestDivision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		everybody := make([]int, 10)
		for i := range everybody {
			everybody[i] = i
		}
		for name, plan := range map[string]target.Plan{
			"more processes than users":   {Users: 1},
			"a conversation of all users": {Users: 10, Rooms: [][]int{everybody}},
		} {
			if _, err := distributed.Prepare(t.Context(), startAgents(t, &faulty.System{}, &faulty.System{}), plan, load.Options{}); err == nil {
				t.Errorf("%s were divided", name)
			}
		}
	})
}

// Whatever is added to a result must be added up, too: one that is all ones,
// added to itself, is all twos but for what is not a sum.
func TestVerdictsAddUp(t *testing.T) {
	r := report.Report{}
	v := reflect.ValueOf(&r.Verdict).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Int64 {
			f.SetInt(1)
		}
	}
	one := r.Verdict
	r.Add(&one)
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Int64 && f.Int() != 2 {
			t.Errorf("%s is not added up", v.Type().Field(i).Name)
		}
	}
}

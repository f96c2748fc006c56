package scenario_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/scenario"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/faulty"
)

// slowProbe takes its time for a sample, also after its context has ended.
type slowProbe struct{ samples, running atomic.Int64 }

func (p *slowProbe) Sample(context.Context) (scenario.Usage, error) {
	p.running.Add(1)
	defer p.running.Add(-1)
	p.samples.Add(1)
	time.Sleep(10 * time.Second)
	return scenario.Usage{MemoryMiB: 1}, nil
}

// No scenario leaves its sampler behind, whether it comes to its end or not.
func TestNothingIsSampledAfterwards(t *testing.T) {
	for name, what := range map[string]runner{
		"burst":       &scenario.Burst{Users: 2, Rate: 10, Duration: time.Minute, Drain: time.Minute},
		"connections": &scenario.Connections{Users: 4, Concurrency: 4, Hold: time.Minute, Sample: 2, Rate: 1},
		"fanout":      &scenario.Fanout{Sizes: []int{4}, Deliveries: 10, Senders: 1, Duration: time.Minute},
		"latency":     &scenario.Latency{Users: []int{2}, From: 1, To: 1, Factor: 2, Step: time.Minute, MaxP95: time.Second},
		"reconnect":   &scenario.Reconnect{Users: 2, Rate: 1, Offset: time.Second, Spread: time.Second, Concurrency: 1},
		"soak":        &scenario.Soak{Users: 2, Rate: 1, Duration: time.Minute, Window: time.Minute, MaxActions: 1, ActionTimeout: time.Minute},
	} {
		for _, s := range []*faulty.System{{}, {RefuseConnection: func(int) bool { return true }}} {
			synctest.Test(t, func(t *testing.T) {
				probe := &slowProbe{}
				_ = what.Run(t.Context(), &scenario.Run{Name: "test", Target: s, Report: report.New(name, "test", "test"), Probe: probe})
				if probe.samples.Load() == 0 {
					t.Errorf("%s samples nothing", name)
				}
				if probe.running.Load() > 0 {
					t.Errorf("%s leaves a sampler behind", name)
				}
			})
		}
	}
}

// busySystem counts what is done with it.
type busySystem struct {
	*faulty.System
	doing atomic.Int64
	fail  atomic.Bool
}

func (s *busySystem) Prepare(ctx context.Context, p target.Plan) (target.Site, error) {
	site, err := s.System.Prepare(ctx, p)
	return &busySite{site, s}, err
}

type busySite struct {
	target.Site
	system *busySystem
}

func (s *busySite) Connect(ctx context.Context, user int, on target.Listener) (target.Conn, error) {
	c, err := s.Site.Connect(ctx, user, on)
	return &busyConn{c, s.system}, err
}

// Actions implements [target.ActionSite].
func (s *busySite) Actions() []target.Action {
	return []target.Action{{Name: "take long", Do: func(context.Context, int, int) error {
		s.system.doing.Add(1)
		defer s.system.doing.Add(-1)
		s.system.fail.Store(true)
		time.Sleep(10 * time.Second)
		return nil
	}}}
}

type busyConn struct {
	target.Conn
	system *busySystem
}

func (c *busyConn) Send(room, n int, text []byte) error {
	if c.system.fail.Load() {
		return errors.New("the network is down")
	}
	return c.Conn.Send(room, n, text)
}

// What users do besides is over when a soak ends before its time.
func TestSoakThatFailsWaitsForActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &busySystem{System: &faulty.System{}}
		soak := &scenario.Soak{Users: 2, Rate: 1, ActionRate: 1, Duration: time.Hour, Window: time.Hour, MaxActions: 4, ActionTimeout: time.Minute}
		if err := soak.Run(t.Context(), &scenario.Run{Name: "test", Target: s, Report: report.New("soak", "test", "test")}); err == nil {
			t.Error("the run has no error")
		}
		if n := s.doing.Load(); n > 0 {
			t.Errorf("%d actions go on", n)
		}
	})
}

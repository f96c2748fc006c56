// Package reporttest has reports of every scenario for tests. Those of latency
// and burst are recorded from one process of Hikyaku; the others are generated,
// in the form that their scenarios write.
package reporttest

import (
	"embed"
	"fmt"
	"math"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/machine"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

//go:embed *.json
var files embed.FS

// Recorded returns a recorded run: latency, latency-again or burst.
func Recorded(name string) *report.Report {
	f, err := files.Open(name + ".json")
	if err != nil {
		panic(err)
	}
	r, err := report.Read(f)
	if err != nil {
		panic(err)
	}
	return r
}

// All returns a report of each scenario.
func All() []*report.Report {
	return []*report.Report{Recorded("latency"), Recorded("burst"), Connections(), Fanout(), Reconnect(), Soak()}
}

func newReport(scenario string, parameters map[string]string) *report.Report {
	r := report.New(scenario, "hikyaku", "1.0.0")
	r.At = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	r.Machine = report.Machine{OS: "linux", Arch: "amd64", Processor: "a processor", Cores: 2, MemoryMiB: 24000}
	r.Versions = report.Versions{Tool: "1.0.0", Revision: "0123456789abcdef", Go: "go1.26", Target: "1.0.1"}
	r.Parameters = parameters
	return r
}

func latency(p50 float64) load.Latency {
	return load.Latency{P50: p50, P90: p50 * 1.8, P95: p50 * 2.4, P99: p50 * 4, P999: p50 * 7, Max: p50 * 9}
}

// heat spreads receipts around a latency.
func heat(n int64, p50 float64) []int64 {
	out := make([]int64, len(load.HeatBoundsMS))
	for i, b := range load.HeatBoundsMS {
		distance := math.Log2(b / p50)
		out[i] = int64(float64(n) * 0.3 * math.Exp(-distance*distance))
	}
	return out
}

func variation(i int) float64 { return 1 + 0.15*math.Sin(float64(i)*1.7) }

// second returns a second in which each sent message went to a number of
// devices.
func second(i int, sent, copies int64, p50 float64) load.Second {
	l := latency(p50)
	return load.Second{
		At: float64(i), Sent: sent, Accepted: sent, Delivered: sent * copies, InFlight: sent / 20, Queue: sent / 40,
		P50: l.P50, P95: l.P95, P99: l.P99, Heat: heat(sent*copies, p50),
	}
}

// Connections is 20,000 connections, of which two fail, and messages to some.
func Connections() *report.Report {
	r := newReport("connections", map[string]string{"connections": "20000", "per_s": "1000", "hold": "20s"})
	for i := 1; i <= 45; i++ {
		s := load.Second{At: float64(i), Connected: min(int64(i)*1000, 19_998), MemoryMiB: 40 + float64(min(i, 20))*4.6, CPU: 0.1}
		switch {
		case i <= 20:
			p50 := 2.1 * variation(i) * (1 + float64(i)/20)
			l := latency(p50)
			s.P50, s.P95, s.P99, s.Heat, s.CPU = l.P50, l.P95, l.P99, heat(1000, p50), 0.6*variation(i)
		case i > 40:
			at, memory := s.Connected, s.MemoryMiB
			s = second(i, 200, 2, 1.4*variation(i))
			s.Connected, s.MemoryMiB, s.CPU = at, memory, 0.3
		}
		r.Series = append(r.Series, s)
	}
	r.Connections = &report.Connections{
		Attempted: 20_000, Succeeded: 19_998, PerS: 998.4, Connect: latency(3.4), HeldS: 20, BytesEach: 4823, ServerMiB: 132,
		ToolBytesEach: 3150, MachineBytesEach: 17_400, HeldCPU: 0.06, HeldToolCPU: 0.03,
		Errors: []string{"connect person 7: dial tcp 127.0.0.1:8080: connection reset by peer"},
	}
	r.Verdict = audit.Verdict{Sent: 1000, Accepted: 1000, Delivered: 2000}
	step := &load.Result{
		Label: "messages to a sample", From: 40, To: 45, Rate: 200, Sent: 1000, Accepted: 1000, Delivered: 2000, PerSecond: 199.8,
		Receipts: 399.6, Latency: latency(1.4), Answer: latency(1), Complete: latency(1.5), Lag: latency(0.1),
	}
	r.Steps = append(r.Steps, step)
	r.SetFigures(step)
	return r
}

// Fanout is rooms of three sizes.
func Fanout() *report.Report {
	r := newReport("fanout", map[string]string{"sizes": "100,1000,10000", "step": "10s"})
	at := 0
	for i, size := range []int64{100, 1000, 10_000} {
		p50 := []float64{2.2, 9.5, 71}[i]
		rate := []int64{200, 20, 4}[i]
		step := &load.Result{
			Label: fmt.Sprintf("room of %d", size), From: float64(at), To: float64(at + 10), Rate: float64(rate), Sent: rate * 10, Accepted: rate * 10,
			Delivered: rate * 10 * size, PerSecond: float64(rate), Receipts: float64(rate * size),
			Latency: latency(p50), Answer: latency(1.3), Complete: latency(p50 * 2), Lag: latency(0.1), DrainS: 0.2,
		}
		for range 10 {
			at++
			s := second(at, rate, size, p50*variation(at))
			s.Connected, s.MemoryMiB, s.CPU = size, 90+float64(i)*60, 0.8*variation(at)
			r.Series = append(r.Series, s)
		}
		r.Sent, r.Accepted, r.Delivered = r.Sent+step.Sent, r.Accepted+step.Accepted, r.Delivered+step.Delivered
		r.Steps = append(r.Steps, step)
		r.SetFigures(step)
	}
	return r
}

// Reconnect is 2,000 users who are disconnected while others send, and connect
// again.
func Reconnect() *report.Report {
	r := newReport("reconnect", map[string]string{"users": "2000", "spread": "10s"})
	for i := 1; i <= 40; i++ {
		s := second(i, 500, 2, 1.6*variation(i))
		s.Connected, s.MemoryMiB, s.CPU = 2000, 120, 0.4*variation(i)
		if i > 12 && i <= 25 {
			s = load.Second{At: float64(i), MemoryMiB: 130, CPU: 1.7 * variation(i)}
			if i > 15 {
				l := latency(14 * variation(i))
				s.Connected, s.P50, s.P95, s.P99 = int64(i-15)*200, l.P50, l.P95, l.P99
			}
		}
		r.Series = append(r.Series, s)
	}
	for i, label := range []string{"before", "afterwards"} {
		step := &load.Result{
			Label: label, From: float64(i) * 25, To: float64(i)*25 + 12, Rate: 500, Sent: 6000, Accepted: 6000, Delivered: 12_000,
			PerSecond: 499, Receipts: 998, Latency: latency(1.6), Answer: latency(1.1), Complete: latency(1.7), Lag: latency(0.2),
		}
		r.Steps = append(r.Steps, step)
		r.SetFigures(step)
	}
	r.Return = &report.Return{
		People: 2000, Returned: 2000, Missed: 10_000, Synced: latency(1900), AllS: 9.8, SpreadS: 10, PeakCPU: 1.9, Afterwards: latency(1.6),
	}
	r.Verdict = audit.Verdict{Sent: 17_000, Accepted: 17_000, Delivered: 34_000}
	return r
}

// Soak is four minutes of mixed behaviour, with a leak and lost receipts.
func Soak() *report.Report {
	r := newReport("soak", map[string]string{"users": "400", "length": "4m0s"})
	for i := 1; i <= 240; i++ {
		s := second(i, 100, 4, 1.8*variation(i))
		s.Connected, s.MemoryMiB, s.CPU = 400, 110+float64(i)/20, 0.3*variation(i)
		s.Heat = s.Heat[:20]
		r.Series = append(r.Series, s)
	}
	step := &load.Result{
		Label: "talk", To: 240, Rate: 100, Sent: 24_000, Accepted: 23_990, Refused: 10, Delivered: 95_956, Missing: 4, PerSecond: 99.9,
		Receipts: 399.8, Latency: latency(1.8), Answer: latency(1.2), Complete: latency(2), Lag: latency(0.2),
	}
	r.Steps = append(r.Steps, step)
	r.SetFigures(step)
	r.Verdict = audit.Verdict{
		Sent: 24_000, Accepted: 23_990, Refused: 10, Delivered: 95_956, Lost: 4,
		Violations: []string{"conversation 12: message 81 of person 40 did not come to the device of person 41"},
	}
	r.Drift = &report.Drift{Hours: 240.0 / 3600, FirstP95: 4.3, LastP95: 4.5, FirstMiB: 110.6, LastMiB: 121.4, MiBPerHour: 180, P95PerHour: 3.1}
	r.Acts = []report.Act{
		{Name: "read", Done: 51_200, Latency: latency(0.9)},
		{Name: "scroll back", Done: 8100, Latency: latency(3.1)},
		{Name: "search", Done: 4040, Failed: 2, Latency: latency(12), Error: "search: the server answered 503"},
	}
	r.Notes = []string{"at 100/s the tool itself sent late (p95 0.5 ms of 4.3)"}
	return r
}

// Costed is the recorded run of latency with what its messages cost, which is
// made up, and how fast the machine was.
func Costed() *report.Report {
	r := Recorded("latency")
	r.Machine.Speed = &machine.Speed{ContextSwitchUS: 4.2, WakeUpUS: 12.5, SyscallNS: 157, FdatasyncMS: 0.14, FdatasyncIn: "/tmp", GoroutineNS: 176}
	for i, s := range r.Steps {
		s.Cost = messageCost(s.Accepted, float64(i+1))
		if s.Rate == r.Rate {
			r.Cost = s.Cost
		}
	}
	return r
}

// messageCost is what a message costs where so many go on together.
func messageCost(messages int64, together float64) *cost.Cost {
	process := func(name string, count int, cpu, switches float64) cost.Process {
		system, wait := cpu*0.4/together, switches/10
		return cost.Process{
			Name: name, Count: count, CPU: cpu / together, System: &system, WaitMS: &wait,
			Switches: &cost.Switches{Voluntary: switches * 0.8 / together, Involuntary: switches * 0.2 / together},
		}
	}
	return &cost.Cost{
		Messages: messages, Seconds: 12, MachineSwitches: 22 / together,
		Processes: []cost.Process{
			process("gateway", 2, 212, 7), process("postgresql: backend", 12, 298, 2), process("postgresql: checkpointer", 1, 0.5, 0.02), process("push", 1, 0.25, 0.01),
			{Name: "worker", Count: 1, CPU: 239 / together}, // on another machine
			process(cost.Tool, 1, 142, 5),
		},
		Together: cost.Process{Name: "together", Count: 18, CPU: 891.75 / together},
		Hops: []cost.Hop{
			{Process: "gateway", Name: "publish", Batches: 0.9 / together, Items: together},
			{Process: "worker", Name: "store", Batches: 0.6 / together, Items: 1.5 * together},
		},
	}
}

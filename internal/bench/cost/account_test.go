package cost_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
)

var began = time.Unix(1000, 0)

func id(pid int) cost.ID { return cost.ID{PID: pid, Start: 1} }

// process is a sample of a process with threads that have 10 times as many
// involuntary switches as voluntary ones, and waited for as many seconds.
func process(pid int, name string, cpu float64, voluntary map[int]float64) cost.ProcessSample {
	p := cost.ProcessSample{ID: id(pid), Name: name, CPU: cost.Times{User: cpu, System: cpu / 2}, Threads: map[int]cost.Thread{}}
	for tid, n := range voluntary {
		p.Threads[tid] = cost.Thread{Voluntary: n, Involuntary: 10 * n, Wait: n}
	}
	return p
}

// account adds up samples, one a second.
func account(samples ...[]cost.ProcessSample) *cost.Account {
	a := cost.New(cost.Sample{At: began, Processes: samples[0]})
	for i, s := range samples[1:] {
		a.Add(cost.Sample{At: began.Add(time.Duration(i+1) * time.Second), Processes: s})
	}
	return a
}

func of(t *testing.T, c *cost.Cost, name string) cost.Process {
	t.Helper()
	i := slices.IndexFunc(c.Processes, func(p cost.Process) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s in %+v", name, c.Processes)
	}
	return c.Processes[i]
}

func figures(cpu, system, voluntary float64) cost.Process {
	wait := voluntary * 1000
	return cost.Process{CPU: cpu, System: &system, Switches: &cost.Switches{Voluntary: voluntary, Involuntary: 10 * voluntary}, WaitMS: &wait}
}

func check(t *testing.T, got, want cost.Process) {
	t.Helper()
	want.Name, want.Count = got.Name, got.Count
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("%s: %s", got.Name, diff)
	}
}

// What was used before the first sample is not counted, and processes of a kind
// count together.
func TestGrowthIsCounted(t *testing.T) {
	c := account(
		[]cost.ProcessSample{process(1, cost.Tool, 5, nil), process(2, "gateway", 10, map[int]float64{2: 100, 3: 5}), process(4, "gateway", 1, nil)},
		[]cost.ProcessSample{process(1, cost.Tool, 6, nil), process(2, "gateway", 12, map[int]float64{2: 130, 3: 15}), process(4, "gateway", 2, nil)},
	).Cost(10)
	gateways := of(t, c, "gateway")
	check(t, gateways, figures(4.5e5, 1.5e5, 4)) // 2+1 s, and half of that, for 10 messages
	if gateways.Count != 2 || c.Together.Count != 3 || c.Processes[1].Name != cost.Tool || c.Seconds != 1 || c.Messages != 10 {
		t.Errorf("%+v", c)
	}
	if math.Abs(c.Busy()-6) > 1e-9 {
		t.Errorf("%v processors were busy", c.Busy())
	}
	if threads, known := c.Waiting(); !known || math.Abs(threads-40) > 1e-9 {
		t.Errorf("%v threads waited", threads)
	}
}

// A thread that begins later counts from its beginning, and one that ends as it
// was last seen. A later thread with its number is another one.
func TestThreadsComeAndGo(t *testing.T) {
	c := account(
		[]cost.ProcessSample{process(2, "worker", 0, map[int]float64{2: 100, 3: 50})},
		[]cost.ProcessSample{process(2, "worker", 0, map[int]float64{2: 101, 3: 60, 4: 7})},
		[]cost.ProcessSample{process(2, "worker", 0, map[int]float64{2: 102, 4: 8})},
		[]cost.ProcessSample{process(2, "worker", 0, map[int]float64{2: 102, 3: 4, 4: 9})},
	).Cost(1)
	check(t, of(t, c, "worker"), figures(0, 0, 2+10+4+9))
}

// A process that ends counts as it was last seen, a new one from its beginning,
// and a later one with its id is another one, also where the counters are higher.
func TestProcessesComeAndGo(t *testing.T) {
	again := process(2, "worker", 90, map[int]float64{2: 900})
	again.ID.Start = 2
	c := account(
		[]cost.ProcessSample{process(2, "worker", 80, map[int]float64{2: 800})},
		[]cost.ProcessSample{process(2, "worker", 82, map[int]float64{2: 810}), process(3, "backend", 2, map[int]float64{3: 5})},
		[]cost.ProcessSample{again},
	).Cost(1)
	check(t, of(t, c, "worker"), figures(1.5e6*(2+90), 0.5e6*(2+90), 10+900))
	check(t, of(t, c, "backend"), figures(3e6, 1e6, 5))
	if w := of(t, c, "worker"); w.Count != 2 {
		t.Errorf("%+v", w)
	}
}

// The parent inherits the time of a child that was never seen, and what one did
// after it was last seen; nothing is counted twice.
func TestEndedChildren(t *testing.T) {
	parent := func(ended float64) cost.ProcessSample {
		p := process(1, "server", 0, nil)
		p.Ended = cost.Times{User: ended, System: ended}
		return p
	}
	child := func(pid int, cpu float64) cost.ProcessSample {
		p := process(pid, "child", cpu, nil)
		p.Parent, p.CPU.System = id(1), cpu
		return p
	}
	c := account(
		[]cost.ProcessSample{parent(100), child(2, 50)},
		[]cost.ProcessSample{parent(100), child(2, 53), child(3, 1), child(4, 9)},
		[]cost.ProcessSample{parent(100 + 54 + 1 + 6), child(4, 10)}, // 2 did 1 s more, 3 nothing; one of 6 s was not seen
	).Cost(1)
	if p := of(t, c, "child"); math.Abs(p.CPU-2e6*(3+1+10)) > 1 {
		t.Errorf("%+v", p)
	}
	if p := of(t, c, "server"); math.Abs(p.CPU-2e6*(1+6)) > 1 {
		t.Errorf("%+v", p)
	}
	// Nobody waited for 2: its parent inherits nothing, and it still counts.
	c = account([]cost.ProcessSample{parent(0), child(2, 50)}, []cost.ProcessSample{parent(0), child(2, 53)}, []cost.ProcessSample{parent(0)}).Cost(1)
	if p := of(t, c, "server"); p.CPU != 0 || of(t, c, "child").CPU != 6e6 {
		t.Errorf("%+v", c.Processes)
	}
}

// What is not told of one process is not told of its kind, nor of all together.
func TestUnknown(t *testing.T) {
	far := cost.ProcessSample{ID: cost.ID{Address: "http://far"}, Name: "gateway", CPU: cost.Times{User: 7}, Unknown: cost.Unknown{System: true, Switches: true, Wait: true}}
	later := far
	later.CPU.User = 3 // it was started again
	c := account([]cost.ProcessSample{far, process(1, "worker", 0, nil)}, []cost.ProcessSample{later, process(1, "worker", 1, map[int]float64{1: 1})}).Cost(1)
	for _, p := range []cost.Process{of(t, c, "gateway"), c.Together} {
		if p.Switches != nil || p.WaitMS != nil || p.System != nil {
			t.Errorf("%+v", p)
		}
	}
	if of(t, c, "worker").Switches == nil || of(t, c, "gateway").CPU != 3e6 {
		t.Errorf("%+v", c)
	}
	if _, known := c.Waiting(); known {
		t.Error("how many threads waited is said to be known")
	}
	if c := account([]cost.ProcessSample{far}, []cost.ProcessSample{far}).Cost(0); c != nil {
		t.Errorf("no message has a cost: %+v", c)
	}
}

// Batches add up over the processes of a kind, over a start anew too, and stand
// in the order of a message's way.
func TestHops(t *testing.T) {
	sample := func(at int, one, other, store float64) cost.Sample {
		hop := func(source, process, name string, batches, items float64) cost.HopSample {
			return cost.HopSample{Source: source, Process: process, Name: name, Batches: batches, Items: items}
		}
		return cost.Sample{At: began.Add(time.Duration(at) * time.Second), Switches: 1000 * float64(at+1), Hops: []cost.HopSample{
			hop("c", "worker", "store", store, 4*store), hop("a", "gateway", "publish", one, 2*one), hop("b", "gateway", "publish", other, 3*other),
			hop("b", "gateway", "something new", other, other), hop("a", "api", "publish", 5, 5),
		}}
	}
	a := cost.New(sample(0, 100, 200, 50))
	a.Add(sample(1, 110, 230, 5)) // the worker was started again
	c := a.Cost(100)
	want := []cost.Hop{
		{Process: "gateway", Name: "publish", Batches: 0.4, Items: (2*10 + 3*30) / 40.0},
		{Process: "worker", Name: "store", Batches: 0.05, Items: 4},
		{Process: "gateway", Name: "something new", Batches: 0.3, Items: 1},
	}
	if diff := cmp.Diff(want, c.Hops, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
	if c.MachineSwitches != 10 {
		t.Error(c.MachineSwitches)
	}
	if l := c.Hops[0].Label(); l != "gateway: messages in a publish to the broker" {
		t.Error(l)
	}
}

// What costs next to nothing is one row, and nothing is left out of it.
func TestShown(t *testing.T) {
	little := process(3, "checkpointer", 0.001, map[int]float64{3: 1})
	busy := process(5, "walsender", 0.001, map[int]float64{5: 900}) // of switches it has many
	c := account(
		[]cost.ProcessSample{process(1, cost.Tool, 0, nil), process(2, "backend", 0, nil), process(3, "checkpointer", 0, nil), process(4, "push", 0, nil), process(5, "walsender", 0, nil)},
		[]cost.ProcessSample{process(1, cost.Tool, 0, nil), process(2, "backend", 1, map[int]float64{2: 1000}), little, process(4, "push", 0.002, map[int]float64{4: 2}), busy},
	).Cost(1)
	var names []string
	cpu, switches := 0.0, 0.0
	for _, p := range c.Shown() {
		names = append(names, p.Name)
		cpu, switches = cpu+p.CPU, switches+p.Switches.All()
		if p.Name == "others" {
			check(t, p, figures(1.5e6*0.003, 0.5e6*0.003, 3))
		}
	}
	if !slices.Equal(names, []string{"backend", "walsender", cost.Tool, "others"}) || math.Abs(cpu-c.Together.CPU) > 1e-3 || math.Abs(switches-c.Together.Switches.All()) > 1e-9 {
		t.Errorf("%v, %v of %v, %v of %v", names, cpu, c.Together.CPU, switches, c.Together.Switches.All())
	}
}
